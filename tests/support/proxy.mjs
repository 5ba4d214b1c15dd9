// A TCP proxy whose connections a test cuts: at once, or after so many bytes of an answer.
import net from 'node:net';

/// Forwards to `to` (`{host, port}`): `{host, port, url, opened, cut, cutAfter, answers, dispose}`.
export async function startProxy(to) {
  const pairs = new Set();
  let budget = Infinity;
  const proxy = { opened: 0, refused: 0 };

  const server = net.createServer((near) => {
    proxy.opened++;
    const far = net.connect(to.port, to.host);
    const pair = { near, far };
    pairs.add(pair);
    const end = () => {
      near.destroy();
      far.destroy();
      pairs.delete(pair);
    };
    for (const socket of [near, far]) socket.on('error', end).on('close', end);
    near.on('data', (part) => far.write(part));
    far.on('data', (part) => {
      if (part.length < budget) {
        budget -= part.length;
        near.write(part);
        return;
      }
      // The first bytes of what is cut off arrive, in mid-frame.
      const rest = part.subarray(0, budget);
      budget = Infinity;
      near.end(rest, end);
    });
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  Object.assign(proxy, { host: '127.0.0.1', port: server.address().port });
  proxy.url = `http://${proxy.host}:${proxy.port}`;

  /// Cuts what is open.
  proxy.cut = () => pairs.forEach(({ near, far }) => near.destroy() && far.destroy());
  /// Lets so many more bytes of answers through, all connections together, then cuts the one they came over.
  proxy.cutAfter = (bytes) => (budget = bytes);
  proxy.dispose = async () => {
    proxy.cut();
    await new Promise((resolve) => server.close(resolve));
  };
  return proxy;
}
