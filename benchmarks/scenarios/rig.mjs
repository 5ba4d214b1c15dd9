// Proves the rig before it is believed: a server frozen for 200 ms must show in the latency.
import { startBeast } from '../lib/servers.mjs';
import { interleave, load } from '../lib/tools.mjs';

export default async function rig({ serverCore, clientCore }, report) {
  const beast = await startBeast({ core: serverCore });
  const fanout = () =>
    load(
      'sse_load',
      {
        mode: 'open',
        server: beast.address,
        connections: 100,
        path: '/fanout',
        publish: '/publish',
        rate: 50,
        settle: 0.5,
        duration: 2,
      },
      { core: clientCore },
    );
  const frozen = async () => {
    const running = fanout();
    await new Promise((resolve) => setTimeout(resolve, 1500));
    process.kill(beast.pid, 'SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, 200));
    process.kill(beast.pid, 'SIGCONT');
    return running;
  };
  const { undisturbed, stopped } = await interleave({ undisturbed: fanout, stopped: frozen }, 1);
  await beast.stop();
  const [calm] = undisturbed;
  const [cold] = stopped;
  report({
    figure: 'Beast frozen for 200 ms: p99, worst (ms)',
    peers: `undisturbed ${(calm.latency.p99_us / 1e3).toFixed(1)}, ${(calm.latency.max_us / 1e3).toFixed(1)}`,
    result: `${(cold.latency.p99_us / 1e3).toFixed(1)}, ${(cold.latency.max_us / 1e3).toFixed(1)}`,
    goal: 'worst ≥ 170 ms, nothing lost',
    met: cold.latency.max_us >= 170_000 && cold.lost === 0,
  });
}
