// The cluster's simulation: sim [--seconds N] [--seeds FILE] [--seed N [--trace]] [--jobs N]
// [--break WHAT]
//
// Without --seed, the seeds of the file and then random ones, for that long.

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/sim/world.hpp"

namespace {

using namespace kgents::sim;

struct totals {
  std::atomic<uint64_t> runs{0}, events{0}, moved{0}, failed{0};
  std::mutex print;
};

void run_one(const options& how, totals& sum, const char* program) {
  world w{how};
  try {
    w.run();
  } catch (const violation& why) {
    std::lock_guard guard{sum.print};
    ++sum.failed;
    std::printf("seed %llu: after %.3f s: %s\n  replay: %s --seed %llu --trace\n",
                static_cast<unsigned long long>(how.seed),
                static_cast<double>(w.time.now().count()) / 1e6, why.what(), program,
                static_cast<unsigned long long>(how.seed));
    std::fflush(stdout);
  }
  ++sum.runs;
  sum.events += w.time.count();
  sum.moved += w.moved_sessions;
}

}  // namespace

int main(int argc, char** argv) {
  options how;
  std::vector<uint64_t> seeds;
  double seconds = 0;
  unsigned jobs = std::max(1u, std::thread::hardware_concurrency());
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const auto value = [&]() -> std::string {
      if (i + 1 < argc)
        return argv[++i];
      std::fprintf(stderr, "%s needs a value\n", name.c_str());
      std::exit(64);
    };
    if (name == "--seed") {
      seeds.push_back(std::stoull(value()));
    } else if (name == "--seeds") {
      std::ifstream file{value()};
      for (std::string line; std::getline(file, line);)
        if (!line.empty() && line[0] != '#')
          seeds.push_back(std::stoull(line));
    } else if (name == "--seconds") {
      seconds = std::stod(value());
    } else if (name == "--jobs") {
      jobs = static_cast<unsigned>(std::stoul(value()));
    } else if (name == "--break") {
      how.broken = value();
    } else if (name == "--trace") {
      how.trace = true;
    } else {
      std::fprintf(stderr, "unknown option %s; see the first lines of tests/sim/main.cpp\n",
                   name.c_str());
      return 64;
    }
  }

  const auto begun = std::chrono::steady_clock::now();
  const auto passed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  };
  const uint64_t base = uint64_t{std::random_device{}()} << 20;
  totals sum;
  std::atomic<uint64_t> next{0};
  std::vector<std::thread> workers;
  for (unsigned n = 0; n < jobs; ++n)
    workers.emplace_back([&] {
      for (;;) {
        const auto i = next++;
        auto mine = how;
        if (i < seeds.size())
          mine.seed = seeds[i];
        else if (passed() < seconds && sum.failed < 20)
          mine.seed = base + i;
        else
          return;
        run_one(mine, sum, argv[0]);
      }
    });
  for (auto& x : workers)
    x.join();
  std::printf(
      "%llu runs (%.0f a minute), %llu events, %llu sessions moved, %llu failed\n",
      static_cast<unsigned long long>(sum.runs), 60 * static_cast<double>(sum.runs) / passed(),
      static_cast<unsigned long long>(sum.events), static_cast<unsigned long long>(sum.moved),
      static_cast<unsigned long long>(sum.failed));
  return sum.failed == 0 && sum.runs > 0 ? 0 : 1;
}
