import type { DemoPlace } from './place.ts';

/** What to try by hand while the demo is up. */
export function instructions(place: DemoPlace, hasKubectl: boolean): string {
  const pods = `${place.url}/api/v1/namespaces/default/pods`;
  const lines = [
    'It is up until you press Ctrl-C. Try, in another terminal:',
    '',
    `  export KUBECONFIG=${place.file('kubeconfig')}${hasKubectl ? '' : '   # with kubectl 1.31 or newer'}`,
    '  kubectl get pods --watch',
    '  kubectl exec -it web -- sh                 # a pod of this demo is a folder of this machine',
    '  kubectl logs -f web',
    '',
    `  curl --cacert ${place.file('ca.crt')} \\`,
    `    -H "Authorization: Bearer $(cat ${place.file('bearer.token')})" \\`,
    `    ${pods}`,
    `  curl ${place.observabilityUrl}/metrics`,
    '',
    `Configuration: ${place.file('gitlab-kas-config.yml')}`,
    `Logs:          ${place.file('server.log')}, ${place.file('agent.log')}`,
  ];
  return lines.join('\n');
}
