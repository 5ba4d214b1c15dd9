// Google Benchmark programs over our hot functions (benchmarks/micro), if any have no scenario of their own.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';

import { binary } from '../lib/tools.mjs';

export default async function micro({ quick, serverCore }, report) {
  if (!existsSync(binary('micro'))) return;
  const args = [
    '-c',
    String(serverCore),
    binary('micro'),
    '--benchmark_filter=-^parser/',
    '--benchmark_format=json',
    `--benchmark_min_time=${quick ? 0.05 : 0.5}`,
  ];
  const output = execFileSync('taskset', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  if (!output) return;
  const { benchmarks } = JSON.parse(output);
  for (const each of benchmarks) report({ figure: each.name, result: `${each.cpu_time.toFixed(1)} ${each.time_unit}` });
}
