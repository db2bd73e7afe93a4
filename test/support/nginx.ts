import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addressOf, type Endpoint, freePort } from './endpoint.ts';
import type { Endpoints, Tls } from './kas_config.ts';
import { which } from './launch.ts';
import { startProxyProcess } from './proxy_process.ts';

export interface Nginx {
  /** HTTPS, as GitLab's users reach it. */
  readonly endpoint: Endpoint;
  readonly url: string;
  errorLog(): string;
  close(): Promise<void>;
}

/** nginx's program, also where only root has its folder in PATH. */
export function nginxProgram(): string | undefined {
  return which('nginx') ?? which('/usr/sbin/nginx');
}

/** What stands behind nginx. */
type Behind = Pick<Endpoints, 'agent' | 'kubernetesApi'>;

/**
 * Starts nginx with the locations and timeouts that the Linux package gives it. Without a host of its own for the agent
 * server: /-/kubernetes-agent/ and /gitlab.agent. go to 8150, /-/kubernetes-agent/k8s-proxy/ to 8154 with the prefix cut.
 * @param nodes taken in turn; one that refuses a connection is passed over, as nginx does by itself
 */
export async function startNginx(nodes: Behind | readonly Behind[], tls: Tls): Promise<Nginx> {
  const program = nginxProgram();
  if (program === undefined) throw new Error('nginx is not installed');
  const folder = mkdtempSync(join(tmpdir(), 'kas-nginx-'));
  for (const sub of ['body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']) mkdirSync(join(folder, sub));
  const endpoint: Endpoint = { network: 'tcp', host: '127.0.0.1', port: await freePort(), path: '', ca: tls.ca };
  writeFileSync(join(folder, 'server.crt'), tls.cert);
  writeFileSync(join(folder, 'server.key'), tls.key, { mode: 0o600 });
  writeFileSync(join(folder, 'nginx.conf'), configuration(folder, endpoint.port, 'agent' in nodes ? [nodes] : nodes));
  // -p: nothing is read from or written to the machine's own nginx folders.
  const args = ['-p', folder, '-c', 'nginx.conf', '-e', 'stderr'];
  const { output, close } = await startProxyProcess(program, args, { folder, listens: endpoint });
  return { endpoint, url: `https://localhost:${endpoint.port}`, errorLog: output, close };
}

function server(endpoint: Endpoint): string {
  return `server ${endpoint.network === 'unix' ? `unix:${endpoint.path}` : addressOf(endpoint)};`;
}

function configuration(folder: string, port: number, nodes: readonly Behind[]): string {
  return `daemon off;
${process.getuid?.() === 0 ? 'user root;' : ''}
pid ${folder}/nginx.pid;
worker_processes 1;
error_log stderr info;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  keepalive_timeout 65;
  client_max_body_size 0;
  map $http_upgrade $connection_upgrade {
    default upgrade;
    '' close;
  }
  upstream gitlab-kas { ${nodes.map(({ agent }) => server(agent)).join(' ')} }
  upstream gitlab-kas-k8s { ${nodes.map(({ kubernetesApi }) => server(kubernetesApi)).join(' ')} }
  server {
    listen 127.0.0.1:${port} ssl http2;
    server_name localhost;
    ssl_certificate ${folder}/server.crt;
    ssl_certificate_key ${folder}/server.key;
    ssl_protocols TLSv1.2 TLSv1.3;

    proxy_read_timeout 3600;
    proxy_connect_timeout 300;
    proxy_redirect off;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto https;
    proxy_set_header X-Forwarded-Ssl on;

    location /-/kubernetes-agent/k8s-proxy/ {
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_buffering off;
      proxy_connect_timeout 5s;
      proxy_send_timeout 60s;
      proxy_read_timeout 7200s;
      proxy_max_temp_file_size 1024m;
      proxy_pass http://gitlab-kas-k8s/;
    }
    location /-/kubernetes-agent/ {
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_read_timeout 60s;
      proxy_pass http://gitlab-kas;
    }
    location /gitlab.agent. {
      grpc_read_timeout 3600s;
      grpc_send_timeout 3600s;
      client_body_timeout 3600s;
      grpc_set_header Host $http_host;
      grpc_pass grpc://gitlab-kas;
    }
  }
}
`;
}
