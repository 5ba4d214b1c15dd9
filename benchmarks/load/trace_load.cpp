// trace_load - readers of many nodes: follows sessions and writes down when each event arrived,
// until standard input closes. A reader that its node sends away or loses goes on elsewhere, as
// clients do.
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "load/http_reader.hpp"
#include "load/measure.hpp"
#include "load/net.hpp"

namespace bench {
namespace {

constexpr std::uint32_t is_final = 0xffffffff;
constexpr std::uint32_t is_turn = 0xfffffffe;
constexpr std::uint64_t retry_ns = 100'000'000;

// What the arrivals file consists of, in the machine's byte order. `what`: a chunk's index, or a
// mark.
struct arrival {
  std::uint32_t reader;
  std::uint32_t what;
  std::uint64_t ns;
};
static_assert(sizeof(arrival) == 16);

struct counts {
  std::uint64_t open = 0;  // readers that have been accepted once
  std::uint64_t chunks = 0;
  std::uint64_t completed = 0;
  std::uint64_t failed = 0;        // `error` events
  std::uint64_t out_of_order = 0;  // a chunk's index did not follow the one before it
  std::uint64_t reconnects = 0;    // sent away, or the connection ended before its answer
  std::uint64_t refused = 0;       // answers other than 200, connections nobody took
  std::string first_refusal;
};

class reader final : public handler {
public:
  reader(loop& events, counts& sum, std::ofstream& arrivals, const std::vector<address>& servers,
         const std::string& headers, std::uint32_t number, std::size_t server, std::string path)
      : loop_(events),
        sum_(sum),
        arrivals_(arrivals),
        servers_(servers),
        headers_(headers),
        number_(number),
        server_(server),
        path_(std::move(path)) {
    connect();
  }
  ~reader() override {
    if (fd_ >= 0)
      close(fd_);
  }

  void tick(std::uint64_t now) {
    if (fd_ < 0 && now >= retry_at_)
      connect();
  }

  void ready(std::uint32_t events) override {
    if (!connected_) {
      if (events & EPOLLERR)
        return refuse("connection refused");
      connected_ = true;
      const auto request = "GET " + path_ +
                           " HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n" + headers_ +
                           (cursor_.empty() ? "" : "Last-Event-ID: " + cursor_ + "\r\n") + "\r\n";
      if (send(fd_, request.data(), request.size(), MSG_NOSIGNAL) !=
          static_cast<ssize_t>(request.size()))
        return leave();
      return loop_.modify(fd_, *this, EPOLLIN);
    }
    static char buffer[256 * 1024];  // shared: the loop has one thread
    const auto n = recv(fd_, buffer, sizeof buffer, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
      return;
    if (n <= 0)
      return leave();
    const auto now = now_ns();
    sent_away_ = false;
    response_.feed({buffer, static_cast<std::size_t>(n)}, [&](std::string_view body) {
      if (response_.status() == 200)
        events_.feed(body, [&](std::string_view text) { event(text, now); });
      else
        refusal_.append(body);
    });
    if (response_.complete() && response_.status() != 200)
      return refuse(std::to_string(response_.status()) + " " + std::exchange(refusal_, {}));
    if (response_.status() != 200)
      return;
    if (response_.has_head() && !accepted_) {
      accepted_ = true;
      ++sum_.open;
    }
    if (sent_away_ || response_.complete())
      leave();
  }

private:
  void connect() {
    connected_ = false;
    response_.reset();
    events_ = {};
    fd_ = connect_to(servers_[server_]);
    loop_.add(fd_, *this, EPOLLOUT);
  }

  void refuse(std::string_view why) {
    ++sum_.refused;
    if (sum_.first_refusal.empty())
      sum_.first_refusal = why;
    leave();
    retry_at_ = now_ns() + retry_ns;
  }

  // The next attempt is with the next server, at the next tick.
  void leave() {
    loop_.remove(fd_);
    close(fd_);
    fd_ = -1;
    if (accepted_)
      ++sum_.reconnects;
    server_ = (server_ + 1) % servers_.size();
    retry_at_ = 0;
  }

  void event(std::string_view text, std::uint64_t now) {
    const auto name = field(text, "event:");
    if (name == "reconnect") {
      sent_away_ = true;
      return;
    }
    const auto id = field(text, "id:");
    if (!id.empty())
      cursor_ = id;
    if (name == "turn") {
      next_ = 0;
      write(is_turn, now);
    } else if (name == "chunk") {
      std::uint32_t index = 0;
      const auto last = id.substr(id.rfind(':') + 1);
      if (std::from_chars(last.data(), last.data() + last.size(), index).ec != std::errc() ||
          index != next_)
        ++sum_.out_of_order;
      next_ = index + 1;
      ++sum_.chunks;
      write(index, now);
    } else if (name == "complete" || name == "error") {
      ++(name == "complete" ? sum_.completed : sum_.failed);
      write(is_final, now);
    }
  }

  void write(std::uint32_t what, std::uint64_t now) {
    const arrival record{number_, what, now};
    arrivals_.write(reinterpret_cast<const char*>(&record), sizeof record);
  }

  loop& loop_;
  counts& sum_;
  std::ofstream& arrivals_;
  const std::vector<address>& servers_;
  const std::string& headers_;
  std::uint32_t number_;
  std::size_t server_;
  std::string path_;
  std::string cursor_;
  std::string refusal_;
  int fd_ = -1;
  bool connected_ = false;
  bool accepted_ = false;
  bool sent_away_ = false;
  std::uint64_t retry_at_ = 0;
  std::uint32_t next_ = 0;
  response_reader response_;
  event_reader events_;
};

class input final : public handler {
public:
  void ready(std::uint32_t) override { closed = true; }
  bool closed = false;
};

int run(const options& given) {
  loop events;
  counts sum;
  std::ofstream arrivals(given.text("arrivals"), std::ios::binary);
  std::string headers;
  for (const auto& each : given.all("header"))
    headers += each + "\r\n";
  std::vector<address> servers;
  for (const auto& each : given.all("server"))
    servers.push_back(address::parse(each));
  std::vector<std::unique_ptr<reader>> readers;
  const auto tick = [&] {
    const auto now = now_ns();
    for (auto& each : readers)
      each->tick(now);
  };
  events.every_millisecond([&, last = std::uint64_t{0}]() mutable {
    if (const auto now = now_ns(); now - last >= 5'000'000) {
      last = now;
      tick();
    }
  });
  input end;
  events.add(STDIN_FILENO, end, EPOLLIN | EPOLLHUP);

  // A line of --targets: which server, and the path there. Opened at a bounded pace: a burst would
  // measure the listen queue instead.
  std::ifstream targets(given.text("targets"));
  const auto at_once = static_cast<std::uint64_t>(given.number("opening", 64));
  std::size_t server = 0;
  for (std::string path; targets >> server >> path;) {
    if (server >= servers.size()) {
      errno = 0;
      die("no such server in " + given.text("targets"));
    }
    readers.push_back(std::make_unique<reader>(events, sum, arrivals, servers, headers,
                                               static_cast<std::uint32_t>(readers.size()), server,
                                               path));
    while (sum.open + at_once < readers.size() && !end.closed)
      events.poll(100);
  }
  while (sum.open < readers.size() && !end.closed)
    events.poll(100);
  std::printf("{\"open\":%llu}\n", static_cast<unsigned long long>(sum.open));
  std::fflush(stdout);
  while (!end.closed)
    events.poll(100);
  arrivals.close();
  const auto u = [](std::uint64_t n) { return static_cast<unsigned long long>(n); };
  if (sum.refused)
    std::fprintf(stderr, "%llu refusals, the first: %s\n", u(sum.refused),
                 sum.first_refusal.c_str());
  std::printf(
      "{\"open\":%llu,\"chunks\":%llu,\"completed\":%llu,\"failed\":%llu,\"out_of_order\":%llu,"
      "\"reconnects\":%llu,\"refused\":%llu}\n",
      u(sum.open), u(sum.chunks), u(sum.completed), u(sum.failed), u(sum.out_of_order),
      u(sum.reconnects), u(sum.refused));
  return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  const bench::options options(argc, argv, "server targets header arrivals opening");
  bench::raise_descriptor_limit();
  return bench::run(options);
}
