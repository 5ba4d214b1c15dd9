// beast_server - the yardstick: what a bare Boost.Beast server does with the same threads. No
// routing table, no authentication, no log, no durability.
//
//   GET /fanout            SSE; gets every body POSTed to /publish
//   POST /publish          204; the body goes to all followers, one write a frame
//   GET /streams?rate=50   SSE; a stamped token `rate` times a second from a wheel shared by the
//   thread GET /session…          JSON the size of a session GET anything else      JSON the size
//   of a health answer
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;
using frame = std::shared_ptr<const std::string>;

constexpr const char* health_json =
    R"({"status":"degraded","version":"v1","has_llm":false,"components":{"soul":"ok",)"
    R"("llm":"not_configured","auth":"ok","metering":"ok"}})";
constexpr const char* session_json =
    R"({"id":"7d1f0a52-6c1e-4f0b-9d43-0f4c4e2b8f11","tenant_id":"00000000-0000-0000-0000-000000000001",)"
    R"("title":null,"agent_type":"kgent","status":"active","message_count":2,"tokens_used":0,)"
    R"("created_at":"2026-01-01T00:00:00.000000+00:00"})";

class connection;

// One thread's io_context, its followers and its wheel.
class worker {
public:
  worker(unsigned short port, std::vector<std::unique_ptr<worker>>& all);
  void accept();
  void publish(const frame& bytes);
  void publish_everywhere(const frame& bytes) {
    for (auto& each : all_)
      asio::post(each->context, [&to = *each, bytes] { to.publish(bytes); });
  }
  void follow(std::shared_ptr<connection> who) { followers_.push_back(std::move(who)); }
  void stream(std::shared_ptr<connection> who, unsigned rate);
  void tick();

  asio::io_context context{1};

private:
  struct paced {
    std::shared_ptr<connection> who;
    std::uint64_t sequence = 0;
  };
  std::vector<std::unique_ptr<worker>>& all_;
  tcp::acceptor acceptor_;
  asio::steady_timer timer_{context};
  std::vector<std::shared_ptr<connection>> followers_;
  std::vector<std::vector<paced>> wheel_;
  std::uint64_t last_ms_ = 0;
  std::size_t next_slot_ = 0;
};

class connection : public std::enable_shared_from_this<connection> {
public:
  connection(tcp::socket socket, worker& home) : socket_(std::move(socket)), home_(home) {
    beast::error_code ignored;
    socket_.set_option(tcp::no_delay(true), ignored);
  }

  [[nodiscard]] bool gone() const { return gone_; }

  void read() {
    request_ = {};
    http::async_read(socket_, buffer_, request_,
                     [self = shared_from_this()](beast::error_code error, std::size_t) {
                       if (!error)
                         self->answer();
                     });
  }

  void enqueue(frame bytes) {
    queue_.push_back(std::move(bytes));
    if (queue_.size() == 1)
      write();
  }

private:
  void answer() {
    const auto target = request_.target();
    if (target == "/fanout" || target.starts_with("/streams")) {
      enqueue(std::make_shared<const std::string>(
          "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
          "Cache-Control: no-cache\r\n\r\n"));
      if (target == "/fanout")
        return home_.follow(shared_from_this());
      const auto at = target.find("rate=");
      return home_.stream(
          shared_from_this(),
          at == target.npos ? 50u : std::atoi(std::string(target.substr(at + 5)).c_str()));
    }
    response_ = {};
    response_.version(11);
    response_.keep_alive(request_.keep_alive());
    if (request_.method() == http::verb::post) {
      home_.publish_everywhere(std::make_shared<const std::string>(
          "event: chunk\nid: 7d1f0a52-6c1e-4f0b-9d43-0f4c4e2b8f11:1:1\ndata: " + request_.body() +
          "\n\n"));
      response_.result(http::status::no_content);
    } else {
      response_.set(http::field::content_type, "application/json");
      response_.body() = target.starts_with("/session") ? session_json : health_json;
    }
    response_.prepare_payload();
    http::async_write(socket_, response_,
                      [self = shared_from_this()](beast::error_code error, std::size_t) {
                        if (!error)
                          self->read();
                      });
  }

  void write() {
    asio::async_write(socket_, asio::buffer(*queue_.front()),
                      [self = shared_from_this()](beast::error_code error, std::size_t) {
                        self->queue_.pop_front();
                        self->gone_ = self->gone_ || error.failed();
                        if (self->gone_)
                          self->queue_.clear();
                        else if (!self->queue_.empty())
                          self->write();
                      });
  }

  tcp::socket socket_;
  worker& home_;
  beast::flat_buffer buffer_;
  http::request<http::string_body> request_;
  http::response<http::string_body> response_;
  std::deque<frame> queue_;
  bool gone_ = false;
};

using reuse_port = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;

worker::worker(unsigned short port, std::vector<std::unique_ptr<worker>>& all)
    : all_(all), acceptor_(context) {
  const tcp::endpoint at(asio::ip::address_v4::loopback(), port);
  acceptor_.open(at.protocol());
  acceptor_.set_option(tcp::acceptor::reuse_address(true));
  acceptor_.set_option(reuse_port(true));
  acceptor_.bind(at);
  acceptor_.listen(4096);
}

void worker::accept() {
  acceptor_.async_accept([this](beast::error_code error, tcp::socket socket) {
    if (!error)
      std::make_shared<connection>(std::move(socket), *this)->read();
    accept();
  });
}

void worker::publish(const frame& bytes) {
  std::erase_if(followers_, [](const auto& each) { return each->gone(); });
  for (auto& each : followers_)
    each->enqueue(bytes);
}

std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

void worker::stream(std::shared_ptr<connection> who, unsigned rate) {
  if (wheel_.empty()) {
    wheel_.resize(1000 / std::max(1u, rate));
    last_ms_ = now_ns() / 1'000'000;
    tick();
  }
  wheel_[next_slot_++ % wheel_.size()].push_back({std::move(who)});
}

void worker::tick() {
  const auto now_ms = now_ns() / 1'000'000;
  for (; last_ms_ < now_ms; ++last_ms_) {
    auto& slot = wheel_[last_ms_ % wheel_.size()];
    std::erase_if(slot, [](const paced& each) { return each.who->gone(); });
    for (auto& each : slot) {
      const auto number = std::to_string(each.sequence++);
      each.who->enqueue(std::make_shared<const std::string>(
          "event: chunk\nid: 7d1f0a52-6c1e-4f0b-9d43-0f4c4e2b8f11:1:" + number +
          "\ndata: {\"text\":\" @" + number + ":" + std::to_string(now_ns()) +
          ";\",\"index\":" + number + "}\n\n"));
    }
  }
  timer_.expires_at(std::chrono::steady_clock::time_point(std::chrono::milliseconds(last_ms_ + 1)));
  timer_.async_wait([this](beast::error_code error) {
    if (!error)
      tick();
  });
}

}  // namespace

// beast_server PORT THREADS
int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: beast_server PORT THREADS\n");
    return 64;
  }
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  std::vector<std::unique_ptr<worker>> workers;
  for (int i = 0; i < std::max(1, std::atoi(argv[2])); ++i)
    workers.push_back(
        std::make_unique<worker>(static_cast<unsigned short>(std::atoi(argv[1])), workers));
  std::vector<std::thread> threads;
  for (auto& each : workers) {
    each->accept();
    threads.emplace_back([&each] { each->context.run(); });
  }
  std::printf("beast ready http://127.0.0.1:%s\n", argv[1]);
  std::fflush(stdout);
  for (auto& each : threads)
    each.join();
}
