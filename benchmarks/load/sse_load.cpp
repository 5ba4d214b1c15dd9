// sse_load - opens many SSE connections (or idle WebSockets), counts what arrives and how late, and
// prints one JSON object. The modes are described in benchmarks/README.md.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "load/follower.hpp"
#include "load/measure.hpp"
#include "load/publisher.hpp"

namespace bench {
namespace {

constexpr std::uint64_t second_ns = 1'000'000'000;

std::vector<std::string> target_paths(const options& given) {
  std::vector<std::string> paths;
  if (given.has("paths")) {
    std::ifstream in(given.text("paths"));
    for (std::string line; std::getline(in, line);)
      paths.push_back(line);
  } else {
    paths.push_back(given.text("path", "/"));
  }
  if (paths.empty())
    die("no paths in " + given.text("paths"));
  return paths;
}

std::string header_lines(const options& given) {
  std::string lines;
  for (const auto& each : given.all("header"))
    lines += each + "\r\n";
  return lines;
}

class run {
public:
  explicit run(const options& given)
      : given_(given), server_(address::parse(given.text("server"))) {
    for (const auto& each : given_.all("watch"))
      cpu_.watch(each);
  }

  int go() {
    const auto mode = given_.text("mode");
    if (mode == "replay")
      begin();
    open_all();
    if (mode == "idle") {
      idle();
    } else if (mode == "replay") {
      await("the replay", [&] { return sum_.completed >= readers_; });
      end(sum_.tokens);
    } else if (mode == "streams") {
      streams();
    } else if (mode == "closed" || mode == "open") {
      make_publisher();
      await("the first turn", [&] { return publisher_->ready(); });
      mode == "closed" ? closed() : open();
      publisher_->finish();
      await("the last answer", [&] { return publisher_->finished(); });
    } else {
      errno = 0;
      die("--mode is idle, replay, streams, closed or open");
    }
    report();
    return 0;
  }

private:
  // Opens the connections at a bounded pace: a burst would measure the listen queue instead.
  void open_all() {
    const auto count = static_cast<std::size_t>(given_.number("connections", 1));
    const auto stalled = static_cast<std::size_t>(given_.number("stalled", 0));
    const auto paths = target_paths(given_);
    const auto body = given_.text("body");
    const auto at_once = static_cast<std::uint64_t>(given_.number("opening", 64));
    const auto small_buffer = static_cast<int>(given_.number("receive-buffer", 0));
    for (std::size_t i = 0; i < count; ++i) {
      auto path = paths[i % paths.size()];
      if (const auto at = path.find("{}"); at != std::string::npos)
        path.replace(at, 2, std::to_string(i));
      auto request = given_.text("method", "GET") + " " + path +
                     " HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n" +
                     header_lines(given_);
      if (!body.empty())
        request +=
            "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
            "\r\n";
      request += "\r\n" + body;
      const bool stalls = i < stalled;
      followers_.push_back(std::make_unique<follower>(loop_, sum_, server_, std::move(request),
                                                      stalls ? 2048 : small_buffer));
      await("connections", [&] { return sum_.open + sum_.refused + sum_.closed + at_once > i; });
    }
    await("connections", [&] { return sum_.open + sum_.refused + sum_.closed >= count; });
    if (sum_.refused) {
      errno = 0;
      die(std::to_string(sum_.refused) + " connections were refused: " + sum_.first_refusal);
    }
    // The stalled ones have their response head and read nothing more.
    for (std::size_t i = 0; i < stalled; ++i)
      followers_[i]->pause();
    readers_ = count - stalled;
  }

  void idle() {
    std::printf("{\"open\":%llu}\n", static_cast<unsigned long long>(sum_.open));
    std::fflush(stdout);
    class input final : public handler {
    public:
      void ready(std::uint32_t) override { closed = true; }
      bool closed = false;
    } input;
    loop_.add(STDIN_FILENO, input, EPOLLIN | EPOLLHUP);
    while (!input.closed)
      loop_.poll(1000);
  }

  // Every connection's own response is a stream of tokens; measures a window of the steady state.
  void streams() {
    await("all streams to flow", [&] { return sum_.flowing >= readers_; });
    poll_for(given_.number("settle", 1));
    begin();
    const auto before = sum_.tokens;
    poll_for(given_.number("duration", 5));
    end(sum_.tokens - before);
    await("the ends",
          [&] { return !given_.has("to-the-end") || sum_.closed >= followers_.size(); });
  }

  void make_publisher() {
    const auto target = given_.text("publish");
    if (given_.has("turn-body")) {
      publisher_ = std::make_unique<turn_publisher>(
          loop_, turn_publisher::settings{
                     server_, target, header_lines(given_), given_.text("turn-body"),
                     static_cast<std::uint16_t>(given_.number("model-port", 0)),
                     static_cast<std::uint64_t>(given_.number("tokens-per-turn", 200))});
    } else {
      publisher_ = std::make_unique<post_publisher>(loop_, server_, target, channels() > 1 ? 8 : 1);
    }
  }

  // One message in flight: the next is published once every reader has the last one.
  void closed() {
    const auto warm_up = static_cast<std::uint64_t>(given_.number("warm-up", 20));
    const auto deadline_after = static_cast<std::uint64_t>(given_.number("duration", 3) * 1e9);
    std::uint64_t deadline = 0;
    std::uint64_t before = 0;
    for (std::uint64_t n = 0; deadline == 0 || now_ns() < deadline; ++n) {
      if (n == warm_up) {
        begin();
        before = sum_.tokens;
        deadline = now_ns() + deadline_after;
      }
      await("the next turn", [&] { return publisher_->ready(); });
      const auto sent = now_ns();
      const auto wanted = sum_.tokens + readers_;
      publisher_->publish(0, n);
      await("delivery", [&] { return sum_.tokens >= wanted; });
      if (sum_.measuring)
        in_flight_ns_ += now_ns() - sent;
    }
    end(sum_.tokens - before);
  }

  // A fixed rate whatever the server does. With --pause, nobody reads for that long, and what
  // gathered meanwhile is all that follows.
  void open() {
    const auto total_rate = given_.number("rate", 50) * static_cast<double>(channels());
    const auto interval = static_cast<std::uint64_t>(1e9 / total_rate);
    const auto pause_ns = static_cast<std::uint64_t>(given_.number("pause", 0) * 1e9);
    auto due = now_ns();
    std::uint64_t sent = 0;
    std::uint64_t skipped = 0;
    // A tick: what is due is published, also if the tick came late.
    loop_.every_millisecond([&] {
      for (const auto now = now_ns(); due != 0 && due <= now; due += interval)
        if (publisher_->ready())
          publish_next(sent);
        else
          ++skipped;
    });
    poll_for(given_.number("settle", 1));
    begin();
    const auto sent_before = sent;
    const auto before = sum_.tokens;
    if (pause_ns) {
      for (auto& each : followers_)
        each->pause();
      poll_for(static_cast<double>(pause_ns) / 1e9);
      due = 0;  // what follows is the backlog alone
      for (auto& each : followers_)
        each->resume();
    }
    poll_for(given_.number("duration", 3));
    end(sum_.tokens - before);
    published_ = sent - sent_before;
    due = 0;
    const auto expected = channels() > 1 ? sent : sent * readers_;
    const auto give_up = now_ns() + 10 * second_ns;
    while (sum_.tokens < expected && now_ns() < give_up)
      loop_.poll(10);
    lost_ = expected > sum_.tokens ? expected - sum_.tokens : 0;
    skipped_ = skipped;
    loop_.every_millisecond([] {});
  }

  void publish_next(std::uint64_t& sent) {
    publisher_->publish(sent % channels(), sent / channels());
    ++sent;
  }

  [[nodiscard]] std::uint64_t channels() const {
    return static_cast<std::uint64_t>(given_.number("channels", 1));
  }

  void begin() {
    sum_.measuring = true;
    sum_.latency = {};
    events_before_ = sum_.events;
    receives_before_ = sum_.receives;
    bytes_before_ = sum_.bytes;
    cpu_.start();
    started_ns_ = now_ns();
  }

  void end(std::uint64_t tokens) {
    sum_.measuring = false;
    seconds_ = static_cast<double>(now_ns() - started_ns_) / 1e9;
    window_tokens_ = tokens;
    window_events_ = sum_.events - events_before_;
    window_receives_ = sum_.receives - receives_before_;
    window_bytes_ = sum_.bytes - bytes_before_;
    cpu_json_ = cpu_.json();
  }

  void poll_for(double seconds) {
    for (const auto until = now_ns() + static_cast<std::uint64_t>(seconds * 1e9); now_ns() < until;)
      loop_.poll(1);
  }

  template <class Condition>
  void await(const char* what, Condition&& done) {
    const auto give_up =
        now_ns() + static_cast<std::uint64_t>(given_.number("patience", 30)) * second_ns;
    while (!done()) {
      loop_.poll(100);
      if (now_ns() > give_up) {
        errno = 0;
        std::fprintf(stderr, "open %llu, closed %llu, flowing %llu, tokens %llu, failed %llu\n",
                     static_cast<unsigned long long>(sum_.open),
                     static_cast<unsigned long long>(sum_.closed),
                     static_cast<unsigned long long>(sum_.flowing),
                     static_cast<unsigned long long>(sum_.tokens),
                     static_cast<unsigned long long>(sum_.failed));
        die(std::string("waited in vain for ") + what);
      }
    }
  }

  void report() const {
    const auto u = [](std::uint64_t n) { return static_cast<unsigned long long>(n); };
    std::printf(
        "{\"seconds\":%.4f,\"in_flight_seconds\":%.4f,\"tokens\":%llu,\"events\":%llu,"
        "\"receives\":%llu,\"bytes\":%llu,\"published\":%llu,\"skipped\":%llu,\"lost\":%llu,"
        "\"out_of_order\":%llu,\"stalls\":%llu,\"completed\":%llu,\"failed\":%llu,\"closed\":%llu,"
        "\"open\":%llu,\"all_tokens\":%llu,\"latency\":%s,\"cpu\":%s}\n",
        seconds_, static_cast<double>(in_flight_ns_) / 1e9, u(window_tokens_), u(window_events_),
        u(window_receives_), u(window_bytes_), u(published_), u(skipped_), u(lost_),
        u(sum_.out_of_order), u(sum_.stalls), u(sum_.completed), u(sum_.failed), u(sum_.closed),
        u(sum_.open), u(sum_.tokens), sum_.latency.json().c_str(),
        cpu_json_.empty() ? "{}" : cpu_json_.c_str());
  }

  const options& given_;
  loop loop_;
  reading sum_;
  cpu_watch cpu_;
  address server_;
  std::vector<std::unique_ptr<follower>> followers_;
  std::unique_ptr<publisher> publisher_;
  std::uint64_t readers_ = 0;
  std::uint64_t started_ns_ = 0;
  std::uint64_t in_flight_ns_ = 0;
  double seconds_ = 0;
  std::uint64_t window_tokens_ = 0;
  std::uint64_t events_before_ = 0, window_events_ = 0;
  std::uint64_t receives_before_ = 0, window_receives_ = 0;
  std::uint64_t bytes_before_ = 0, window_bytes_ = 0;
  std::uint64_t published_ = 0, skipped_ = 0, lost_ = 0;
  std::string cpu_json_;
};

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  const bench::options options(
      argc, argv,
      "mode server connections path paths method body header opening receive-buffer stalled watch "
      "publish channels rate duration settle warm-up pause patience to-the-end turn-body "
      "model-port "
      "tokens-per-turn");
  bench::raise_descriptor_limit();
  return bench::run(options).go();
}
