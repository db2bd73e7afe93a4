import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DetailedPeerCertificate } from 'node:tls';
import { describeChain } from './shown_certificates.ts';

test('a chain is told by its names, up to the root', () => {
  const root = { subject: { CN: 'Root' }, issuer: { CN: 'Root' } } as unknown as DetailedPeerCertificate;
  root.issuerCertificate = root;
  const between = {
    subject: { CN: 'Between' },
    issuer: { CN: 'Root' },
    issuerCertificate: root,
  } as unknown as DetailedPeerCertificate;
  const leaf = {
    subject: { CN: 'gitlab.example', O: 'Example' },
    issuer: { CN: 'Between' },
    valid_to: 'Jan 1 2027',
    issuerCertificate: between,
  } as unknown as DetailedPeerCertificate;
  assert.equal(
    describeChain(leaf),
    'it shows CN=gitlab.example, O=Example (until Jan 1 2027), issued by CN=Between, issued by CN=Root',
  );
  assert.equal(describeChain({ ...root, valid_to: 'x' }), 'it shows CN=Root (until x), issued by CN=Root');
  assert.equal(describeChain({} as DetailedPeerCertificate), '');
});
