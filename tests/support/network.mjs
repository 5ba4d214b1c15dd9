// Where the nodes of a test live: each in a network namespace of its own with its own address, joined by a router whose
// packet filter can cut them off; or, where namespaces are not allowed, each on a loopback address of its own, uncut.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const ip = (...args) => execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

let count = 0;

/// Whether this machine lets us make namespaces and filter packets between them.
export function canMakeNamespaces() {
  const name = `kgx${process.pid}`;
  try {
    ip('netns', 'add', name);
  } catch {
    return false;
  }
  try {
    ip('netns', 'exec', name, 'nft', 'add', 'table', 'inet', 'probe');
    ip('netns', 'exec', name, 'sysctl', '-q', '-w', 'net.ipv4.ip_forward=1');
    return true;
  } catch {
    return false;
  } finally {
    ip('netns', 'del', name);
  }
}

// Names carry the process that made them, so that runs at once do not meet and a killed one's leftovers are known.
function removeLeftovers() {
  for (const line of ip('netns', 'list').split('\n')) {
    const [name] = line.split(' ');
    const owner = /^kgt(\d+)[a-d](h|n\d+)$/.exec(name)?.[1];
    if (!owner || existsSync(`/proc/${owner}`)) continue;
    for (const pid of ip('netns', 'pids', name).split('\n').filter(Boolean)) process.kill(Number(pid), 'SIGKILL');
    ip('netns', 'del', name);
  }
}

/// Namespaces around a router. We are at `address`; `place(i)` makes node i's home: `{address, prefix}`, where `prefix` is
/// the command that runs something there. All have the same MAC address, and what `prefix` runs is process 1, as in
/// containers that were made from one image.
export function startNamespaces({ database = 5432 } = {}) {
  removeLeftovers();
  const number = (process.pid * 4 + (count++ % 4)) % 32768;
  const subnet = `10.${64 + (number >> 8)}.${number & 255}`;
  const id = `kgt${process.pid}${'abcd'[(count - 1) % 4]}`;
  const hub = `${id}h`;
  const address = `${subnet}.1`;
  const router = `${subnet}.254`;
  const mac = '02:00:00:00:00:01';
  const made = [];
  const cuts = new Map();

  const add = (name) => {
    ip('netns', 'add', name);
    made.push(name);
  };
  const dispose = () => {
    for (const name of made.splice(0))
      try {
        ip('netns', 'del', name);
      } catch {
        // gone with its machine
      }
    process.off('exit', dispose);
  };
  process.on('exit', dispose);

  add(hub);
  ip('netns', 'exec', hub, 'sysctl', '-q', '-w', 'net.ipv4.ip_forward=1');
  const connect = (port, home) => {
    ip('-n', hub, 'link', 'set', 'dev', port, 'up');
    ip('-n', hub, 'address', 'add', `${router}/32`, 'dev', port);
    ip('-n', hub, 'route', 'add', home, 'dev', port);
  };
  // Our own end. The kernel removes it with the router's namespace.
  ip('link', 'add', 'name', hub, 'type', 'veth', 'peer', 'name', 'us', 'netns', hub);
  ip('address', 'add', address, 'peer', router, 'dev', hub);
  ip('link', 'set', 'dev', hub, 'up');
  connect('us', address);
  ip('route', 'add', `${subnet}.0/24`, 'via', router);

  const homes = new Map();
  const place = (i) => {
    const known = homes.get(i);
    if (known) return known;
    const name = `${id}n${i}`;
    const home = { address: `${subnet}.${10 + i}`, prefix: ['ip', 'netns', 'exec', name, 'unshare', '--pid', '--fork', '--kill-child=SIGKILL', '--'] };
    add(name);
    ip('-n', hub, 'link', 'add', 'name', `n${i}`, 'type', 'veth', 'peer', 'name', 'eth0', 'address', mac, 'netns', name);
    ip('-n', name, 'address', 'add', home.address, 'peer', router, 'dev', 'eth0');
    ip('-n', name, 'link', 'set', 'dev', 'lo', 'up');
    ip('-n', name, 'link', 'set', 'dev', 'eth0', 'up');
    ip('-n', name, 'route', 'add', 'default', 'via', router);
    connect(`n${i}`, home.address);
    homes.set(i, home);
    return home;
  };

  const filter = () => {
    const rules = [...cuts.values()].flat().map((rule) => `    ${rule} drop\n`);
    const table = `table inet cuts {\n  chain forward {\n    type filter hook forward priority 0;\n${rules.join('')}  }\n}\n`;
    execFileSync('ip', ['netns', 'exec', hub, 'nft', '-f', '-'], {
      input: `table inet cuts\ndelete table inet cuts\n${table}`,
      stdio: ['pipe', 'ignore', 'pipe'],
    });
  };
  // What to drop of the packets to (`in`) and from (`out`) an address.
  const rulesFor = (at, from) => {
    const peers = [...homes.values()].map((home) => home.address).filter((other) => other !== at);
    return {
      peers: { in: [`ip daddr ${at} ip saddr { ${peers.join(', ')} }`], out: [`ip saddr ${at} ip daddr { ${peers.join(', ')} }`] },
      postgres: { in: [`ip daddr ${at} tcp sport ${database}`], out: [`ip saddr ${at} tcp dport ${database}`] },
      all: { in: [`ip daddr ${at}`], out: [`ip saddr ${at}`] },
    }[from];
  };
  const cut = (at, { from = 'all', way = 'both' } = {}) => {
    const sides = rulesFor(at, from);
    const rules = way === 'both' ? [...sides.in, ...sides.out] : sides[way];
    cuts.set(at, [...(cuts.get(at) ?? []), ...rules]);
    filter();
  };
  const heal = (at) => {
    cuts.delete(at);
    filter();
  };
  /// Nobody reaches PostgreSQL until `heal('postgres')`; connections stay open, their packets are lost.
  const cutPostgres = () => {
    cuts.set('postgres', [`tcp dport ${database}`, `tcp sport ${database}`]);
    filter();
  };
  return { kind: 'namespaces', address, subnet: `${subnet}.0/24`, place, cut, heal, cutPostgres, dispose };
}

/// Loopback addresses of this process's own: plain processes on one machine.
export function startLoopback() {
  const number = (process.pid * 4 + (count++ % 4)) % 32768;
  const base = `127.${64 + (number >> 8)}.${number & 255}`;
  return {
    kind: 'loopback',
    address: `${base}.1`,
    subnet: `${base}.0/24`,
    place: (i) => ({ address: `${base}.${10 + i}`, prefix: [] }),
    dispose: () => {},
  };
}
