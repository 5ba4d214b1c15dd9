#include "load/publisher.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace bench {

namespace {

// A keep-alive connection that sends requests and hands over the responses' ends.
class requester : public handler {
public:
  requester(loop& events, const address& server) : loop_(events), fd_(connect_to(server)) {
    loop_.add(fd_, *this, EPOLLIN | EPOLLOUT);
  }
  ~requester() override { close(fd_); }

  void send_request(std::string_view bytes) {
    out_.append(bytes);
    flush();
  }

  void ready(std::uint32_t events) override {
    if (events & EPOLLOUT)
      flush();
    if (!(events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
      return;
    std::array<char, 65536> buffer;
    const auto n = recv(fd_, buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EAGAIN)
      return;
    if (n <= 0)
      die("the server closed a publisher's connection");
    for (std::string_view rest(buffer.data(), static_cast<std::size_t>(n)); !rest.empty();) {
      rest = response_.feed(rest, [this](std::string_view body) { body_.append(body); });
      if (!response_.complete())
        break;
      if (response_.status() >= 300) {
        errno = 0;
        die("a publisher's request was refused: " + response_.head() + body_);
      }
      response_.reset();
      body_.clear();
      answered();
    }
  }

  virtual void answered() {}

private:
  void flush() {
    if (!out_.flush(fd_))
      die("lost a publisher's connection");
    if (const bool full = !out_.empty(); full != waits_) {
      waits_ = full;
      loop_.modify(fd_, *this, full ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
  }

  loop& loop_;
  int fd_;
  bool waits_ = true;
  out_buffer out_;
  response_reader response_;
  std::string body_;
};

std::string post(std::string_view path, std::string_view headers, std::string_view body) {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: bench\r\n" + std::string(headers) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

}  // namespace

class post_publisher::connection final : public requester {
public:
  using requester::requester;
};

post_publisher::post_publisher(loop& events, const address& server, std::string path,
                               std::size_t connections)
    : path_(std::move(path)) {
  for (std::size_t i = 0; i < connections; ++i)
    connections_.push_back(std::make_unique<connection>(events, server));
}

post_publisher::~post_publisher() = default;

void post_publisher::publish(std::uint64_t channel, std::uint64_t sequence) {
  std::string path = path_;
  if (const auto at = path.find("{}"); at != std::string::npos)
    path.replace(at, 2, std::to_string(channel));
  const auto token =
      "{\"text\":\" @" + std::to_string(sequence) + ":" + std::to_string(now_ns()) + ";\"}";
  connections_[channel % connections_.size()]->send_request(post(path, "", token));
}

class turn_publisher::control final : public requester {
public:
  control(loop& events, turn_publisher& owner)
      : requester(events, owner.config_.server), owner_(owner) {}
  void start_turn() {
    running_ = true;
    send_request(post(owner_.config_.path,
                      owner_.config_.headers + "Content-Type: application/json\r\n",
                      owner_.config_.body));
  }
  void answered() override {
    running_ = false;
    if (!owner_.finishing_)
      start_turn();
  }
  [[nodiscard]] bool running() const { return running_; }

private:
  turn_publisher& owner_;
  bool running_ = false;
};

turn_publisher::turn_publisher(loop& events, settings config)
    : config_(std::move(config)), provider_(events, config_.model_port) {
  provider_.on_answer = [this](provider::stream& which) {
    answer_ = &which;
    in_this_turn_ = 0;
  };
  provider_.on_gone = [this](provider::stream& which) {
    if (answer_ == &which)
      answer_ = nullptr;
  };
  control_ = std::make_unique<control>(events, *this);
  control_->start_turn();
}

turn_publisher::~turn_publisher() = default;

void turn_publisher::publish(std::uint64_t, std::uint64_t sequence) {
  if (!answer_)
    return;
  answer_->send_token(sequence);
  if (++in_this_turn_ == config_.tokens_per_turn)
    std::exchange(answer_, nullptr)->finish();
}

void turn_publisher::finish() {
  finishing_ = true;
  if (answer_)
    std::exchange(answer_, nullptr)->finish();
}

bool turn_publisher::finished() const { return !control_->running(); }

}  // namespace bench
