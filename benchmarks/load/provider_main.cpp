// provider - the stand-in model server as a program: streams `--tokens` tokens to every completion,
// `--rate` a second. With `--goes-on`, an answer that was asked for with its beginning goes on
// behind that. Prints its address, and its totals as JSON when it is told to stop.
#include <csignal>
#include <cstdio>

#include "load/measure.hpp"
#include "load/provider.hpp"

namespace {

volatile std::sig_atomic_t stopped = 0;

}  // namespace

int main(int argc, char** argv) {
  const bench::options options(argc, argv, "port rate tokens goes-on");
  bench::raise_descriptor_limit();
  std::signal(SIGTERM, [](int) { stopped = 1; });
  std::signal(SIGINT, [](int) { stopped = 1; });
  bench::loop loop;
  auto port = static_cast<std::uint16_t>(options.number("port", 0));
  bench::provider provider(loop, port);
  bench::pacer pacer(static_cast<unsigned>(options.number("rate", 50)),
                     static_cast<std::uint64_t>(options.number("tokens", 500)));
  provider.on_answer = [&](bench::provider::stream& which) {
    pacer.add(which, options.has("goes-on") ? which.behind_request() : 0);
  };
  provider.on_gone = [&](bench::provider::stream& which) { pacer.remove(which); };
  loop.every_millisecond([&] { pacer.tick(); });
  std::printf("provider ready http://127.0.0.1:%u/v1\n", port);
  std::fflush(stdout);
  while (!stopped)
    loop.poll(100);
  const auto& sum = provider.counted();
  std::printf(
      "{\"streams\":%llu,\"tokens\":%llu,\"blocked\":%llu,\"abandoned\":%llu}\n",
      static_cast<unsigned long long>(sum.streams), static_cast<unsigned long long>(sum.tokens),
      static_cast<unsigned long long>(sum.blocked), static_cast<unsigned long long>(sum.abandoned));
  return 0;
}
