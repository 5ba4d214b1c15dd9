// The parser of AGENTESE on one core: texts and bytes a second (benchmarks/micro/agentese_parser.cpp).
import { execFileSync } from 'node:child_process';
import { binary } from '../lib/tools.mjs';

const pathsPerSecond = 5e6;

export default async function parser({ quick, serverCore }, report) {
  const args = [
    '-c',
    String(serverCore),
    binary('micro'),
    '--benchmark_filter=^parser/',
    '--benchmark_format=json',
    `--benchmark_min_time=${quick ? 0.05 : 0.5}`,
    ...(quick ? [] : ['--benchmark_repetitions=5', '--benchmark_report_aggregates_only=true']),
  ];
  const { benchmarks } = JSON.parse(
    execFileSync('taskset', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
  );
  for (const each of benchmarks) {
    if (!quick && each.aggregate_name !== 'median') continue;
    const name = each.run_name.replace('parser/', '');
    const goal = name === 'path' && { goal: '≥ 5 M/s a core', met: each.items_per_second >= pathsPerSecond };
    report({
      figure: name.replaceAll('_', ' '),
      ours: `${(each.items_per_second / 1e6).toFixed(1)} M/s`,
      result: `${(each.bytes_per_second / 1e6).toFixed(0)} MB/s, ${each.cpu_time.toFixed(0)} ${each.time_unit}`,
      ...goal,
    });
  }
}
