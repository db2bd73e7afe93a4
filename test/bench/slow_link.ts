import net from 'node:net';
import process from 'node:process';

/**
 * Forwards TCP with a delay, as a link with a round trip does, without limiting its bandwidth. `node slow_link.ts PORT
 * TARGET_PORT ROUND_TRIP_MS`
 */
const [port, targetPort, roundTripMs] = process.argv.slice(2).map(Number) as [number, number, number];

function delayed(from: net.Socket, to: net.Socket): void {
  from.on('data', (chunk) => setTimeout(() => to.write(chunk), roundTripMs / 2));
  from.on('end', () => setTimeout(() => to.end(), roundTripMs / 2));
  from.on('error', () => to.destroy());
}

net
  .createServer((client) => {
    const target = net.connect(targetPort, '127.0.0.1');
    delayed(client, target);
    delayed(target, client);
  })
  .listen(port, '127.0.0.1', () => process.stdout.write('ready\n'));
