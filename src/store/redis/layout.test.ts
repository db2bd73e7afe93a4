// Names and values, byte for byte (docs/protocol/redis.md, keys).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodePod } from './connected_agent.ts';
import { decodeExpiring, encodeExpiring } from './expiring_value.ts';
import { Keys } from './keys.ts';
import { decodeLastSeen, encodeGone } from './last_seen.ts';

const keys = new Keys('gitlab-kas');
const hash = Buffer.from('69b980549d5045969285133df773ae91ddd5d0e5c73dc8ee959b2eb223bc5fbb', 'hex');

test('keys have ids in 8 bytes and hashes in 32', () => {
  const name = (text: string, hex: string) => Buffer.concat([Buffer.from(text), Buffer.from(hex, 'hex')]);
  assert.deepEqual(keys.tunnelNodes(123n), name('gitlab-kas:tunnel_tracker2:kas_by_agent_id:', '7b00000000000000'));
  assert.deepEqual(
    keys.podsOfAgent(2n ** 62n + 1n),
    name('gitlab-kas:agent_tracker2:conn_by_agent_id:', '0100000000000040'),
  );
  assert.deepEqual(new Keys('ä').podsOfProject(-1n), name('ä:agent_tracker2:conn_by_project_id:', 'ffffffffffffffff'));
  assert.equal(keys.connectedAgents.toString(), 'gitlab-kas:agent_tracker2:connected_agents');
  assert.deepEqual(keys.tokenCount(hash, 42), name('gitlab-kas:agent_limit:', `${hash.toString('hex')}3a2a`));
  assert.deepEqual(keys.refusal('agent_info_errs', hash), name('gitlab-kas:agent_info_errs:', hash.toString('hex')));
});

test('values say when they expire', () => {
  assert.equal(encodeExpiring(1_700_000_000).toString('hex'), '0880e2cfaa06');
  const decoded = decodeExpiring(Buffer.from('0880e2cfaa061203414243', 'hex'));
  assert.equal(decoded?.expiresAt, 1_700_000_000);
  assert.equal(Buffer.from(decoded.value).toString(), 'ABC');
  assert.equal(decodeExpiring(Buffer.from('ff', 'hex')), undefined);
});

test('a pod without an agent or a time is none', () => {
  assert.equal(decodePod(new Uint8Array()), undefined);
  assert.equal(decodePod(Buffer.from('2004', 'hex')), undefined);
  assert.equal(decodePod(Buffer.from('garbage')), undefined);
});

test('an agent that has gone is remembered with its time, one that is there by when it was written', () => {
  const gone = decodeExpiring(encodeGone(1_700_000_000, 1_699_999_000_123));
  assert.ok(gone !== undefined && gone.expiresAt < 1_700_000_000);
  assert.equal(decodeLastSeen(gone, 300_000), 1_699_999_000_123);
  const live = decodeExpiring(encodeExpiring(1_700_000_300));
  assert.equal(live && decodeLastSeen(live, 300_000), 1_700_000_000_000);
});
