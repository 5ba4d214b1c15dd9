// http_load - closed-loop HTTP requests over keep-alive connections: one request in flight on each.
// Prints one JSON object: rate, latency to the first byte of the head, of the body and to the end.
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "load/http_reader.hpp"
#include "load/measure.hpp"
#include "load/net.hpp"

namespace bench {
namespace {

struct counts {
  bool measuring = false;
  bool stopping = false;
  std::uint64_t done = 0;
  std::uint64_t unexpected = 0;
  std::uint64_t idle = 0;  // connections that have nothing more to do
  std::string first_unexpected;
  histogram first_byte;
  histogram first_body_byte;
  histogram whole;
  std::ofstream bodies;
};

class client final : public handler {
public:
  // Sends the requests number `first`, `first + step`, … of `requests`; over and over, or once.
  client(loop& events, counts& sum, const address& server, const std::vector<std::string>& requests,
         std::size_t first, std::size_t step, bool once, int expected_status)
      : loop_(events),
        sum_(sum),
        fd_(connect_to(server)),
        requests_(requests),
        first_(first),
        next_(first),
        step_(step),
        once_(once),
        expected_status_(expected_status) {
    loop_.add(fd_, *this, EPOLLOUT);
  }
  ~client() override { close(fd_); }

  void ready(std::uint32_t) override {
    if (!connected_) {
      connected_ = true;
      loop_.modify(fd_, *this, EPOLLIN);
      return send_next();
    }
    static char buffer[256 * 1024];
    const auto n = recv(fd_, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EAGAIN)
      return;
    if (n <= 0)
      die("the server closed a connection");
    const auto now = now_ns();
    if (!first_byte_ns_)
      first_byte_ns_ = now;
    response_.feed({buffer, static_cast<std::size_t>(n)}, [&](std::string_view piece) {
      if (!first_body_ns_)
        first_body_ns_ = now;
      if (sum_.bodies.is_open() || response_.status() != expected_status_)
        body_.append(piece);
    });
    if (response_.complete())
      answered(now);
  }

private:
  void send_next() {
    if (sum_.stopping || next_ >= requests_.size()) {
      ++sum_.idle;
      return;
    }
    sent_ns_ = now_ns();
    const auto& bytes = requests_[next_];
    if (send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size()))
      die("send");
    next_ += step_;
    if (!once_ && next_ >= requests_.size())
      next_ = first_;
  }

  void answered(std::uint64_t now) {
    ++sum_.done;
    if (response_.status() != expected_status_) {
      ++sum_.unexpected;
      if (sum_.first_unexpected.empty())
        sum_.first_unexpected = response_.head() + body_;
    } else if (sum_.measuring) {
      sum_.first_byte.add(first_byte_ns_ - sent_ns_);
      sum_.first_body_byte.add((first_body_ns_ ? first_body_ns_ : now) - sent_ns_);
      sum_.whole.add(now - sent_ns_);
    }
    if (sum_.bodies.is_open())
      sum_.bodies << body_ << '\n';
    body_.clear();
    response_.reset();
    first_byte_ns_ = first_body_ns_ = 0;
    send_next();
  }

  loop& loop_;
  counts& sum_;
  int fd_;
  const std::vector<std::string>& requests_;
  std::size_t first_;
  std::size_t next_;
  std::size_t step_;
  bool once_;
  int expected_status_;
  bool connected_ = false;
  std::uint64_t sent_ns_ = 0;
  std::uint64_t first_byte_ns_ = 0;
  std::uint64_t first_body_ns_ = 0;
  response_reader response_;
  std::string body_;
};

// One request for each line of --paths (--path: one), or --count copies.
std::vector<std::string> requests_of(const options& given) {
  std::vector<std::string> paths;
  if (given.has("paths")) {
    std::ifstream in(given.text("paths"));
    for (std::string line; std::getline(in, line);)
      paths.push_back(line);
  } else {
    paths.assign(static_cast<std::size_t>(given.number("count", given.number("connections", 1))),
                 given.text("path", "/"));
  }
  std::string headers;
  for (const auto& each : given.all("header"))
    headers += each + "\r\n";
  const auto body = given.text("body");
  if (!body.empty())
    headers +=
        "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  std::vector<std::string> requests;
  for (const auto& path : paths)
    requests.push_back(given.text("method", "GET") + " " + path + " HTTP/1.1\r\nHost: bench\r\n" +
                       headers + "\r\n" + body);
  return requests;
}

int run(const options& given) {
  const auto server = address::parse(given.text("server"));
  const auto requests = requests_of(given);
  const auto connections = static_cast<std::size_t>(given.number("connections", 1));
  const bool once = given.has("once");
  loop events;
  counts sum;
  cpu_watch cpu;
  for (const auto& each : given.all("watch"))
    cpu.watch(each);
  if (given.has("bodies"))
    sum.bodies.open(given.text("bodies"));
  const auto poll_for = [&](double seconds) {
    const auto until = now_ns() + static_cast<std::uint64_t>(seconds * 1e9);
    while (now_ns() < until && sum.idle < connections)
      events.poll(10);
  };

  std::vector<std::unique_ptr<client>> clients;
  for (std::size_t i = 0; i < connections; ++i)
    clients.push_back(std::make_unique<client>(events, sum, server, requests, i, connections, once,
                                               static_cast<int>(given.number("expect", 200))));
  if (!once)
    poll_for(given.number("settle", 0.5));
  cpu.start();
  sum.measuring = true;
  const auto before = sum.done;
  const auto started = now_ns();
  poll_for(once ? given.number("patience", 120) : given.number("duration", 3));
  const auto seconds = static_cast<double>(now_ns() - started) / 1e9;
  const auto done = sum.done - before;
  sum.measuring = false;
  const auto cpu_json = cpu.json();
  sum.stopping = true;
  poll_for(30);
  if (sum.idle < connections)
    std::fprintf(stderr, "%zu requests never ended\n", connections - sum.idle);
  if (sum.unexpected && !given.has("tolerate"))
    std::fprintf(stderr, "%llu unexpected answers, the first: %s\n",
                 static_cast<unsigned long long>(sum.unexpected), sum.first_unexpected.c_str());
  std::printf(
      "{\"seconds\":%.4f,\"requests\":%llu,\"rate\":%.1f,\"unexpected\":%llu,\"unanswered\":%zu,"
      "\"first_byte\":%s,\"first_body_byte\":%s,\"whole\":%s,\"cpu\":%s}\n",
      seconds, static_cast<unsigned long long>(done), static_cast<double>(done) / seconds,
      static_cast<unsigned long long>(sum.unexpected),
      connections - static_cast<std::size_t>(sum.idle), sum.first_byte.json().c_str(),
      sum.first_body_byte.json().c_str(), sum.whole.json().c_str(), cpu_json.c_str());
  return sum.unexpected && !given.has("tolerate") ? 1 : 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  const bench::options options(argc, argv,
                               "server connections path paths count method body header once expect "
                               "duration settle patience watch bodies tolerate");
  bench::raise_descriptor_limit();
  return bench::run(options);
}
