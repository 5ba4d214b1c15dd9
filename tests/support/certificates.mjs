// Certificates as an operator would make them for the links between nodes: one authority, one certificate a node.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

function openssl(args) {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/// An authority of its own in `directory`: `{ca, issue}`. `issue(name, address)` makes `{ca, cert, key}`, paths to PEM files.
export function makeAuthority(directory, authority = 'authority') {
  const path = (name) => join(directory, `${authority}-${name}`);
  const config = path('openssl.cnf');
  writeFileSync(config, '[req]\ndistinguished_name = name\n[name]\n');
  const ca = path('ca.pem');
  const caKey = path('ca.key');
  const request = (name, days) => ['req', '-x509', '-new', ...curve, '-config', config, '-subj', `/CN=${name}`, '-days', days];
  openssl([...request(authority, '2'), '-keyout', caKey, '-out', ca, '-addext', 'basicConstraints=critical,CA:TRUE']);

  const issue = (name, address) => {
    const made = { ca, cert: path(`${name}.pem`), key: path(`${name}.key`) };
    const extensions = [
      'basicConstraints=critical,CA:FALSE',
      'extendedKeyUsage=serverAuth,clientAuth',
      `subjectAltName=DNS:${name}${address ? `,IP:${address}` : ''}`,
    ].flatMap((extension) => ['-addext', extension]);
    openssl([...request(name, '1'), '-CA', ca, '-CAkey', caKey, '-keyout', made.key, '-out', made.cert, ...extensions]);
    return made;
  };
  return { ca, issue };
}
