import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { scrub } from './scrub.ts';

const rows: [string, string][] = [
  ['GET https://user:pa:ss@gitlab.example/x: refused', 'GET https://[secret]@gitlab.example/x: refused'],
  ['token glpat-abcDEF123456 is wrong', 'token [secret] is wrong'],
  ['glagent-abcdefghijk', '[secret]'],
  ['Authorization: Bearer abc.def', 'Authorization: Bearer [secret]'],
  ['jwt eyJhbGciOi.eyJpc3MiOi.sig-_', 'jwt [secret]'],
  ['GET /x?private_token=abc&a=1', 'GET /x?private_token=[secret]&a=1'],
  ['{"password": "hunter2", "a": 1}', '{"password": "[secret]", "a": 1}'],
  ['read tcp 10.0.0.1:51234->10.0.0.2:443: reset', 'read tcp 10.0.0.1:x->10.0.0.2:443: reset'],
  [
    'HTTP status code: 502 for path /api/v4/job/allowed_agents',
    'HTTP status code: 502 for path /api/v4/job/allowed_agents',
  ],
];

describe('what leaves for Sentry', () => {
  for (const [text, scrubbed] of rows) test(text, () => assert.equal(scrub(text), scrubbed));
});
