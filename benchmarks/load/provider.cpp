#include "load/provider.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "load/http_reader.hpp"

namespace bench {

class provider::acceptor final : public handler {
public:
  acceptor(provider& owner, std::uint16_t& port) : owner_(owner), fd_(listen_on(port)) {
    owner_.loop_.add(fd_, *this, EPOLLIN);
  }
  ~acceptor() override { close(fd_); }
  void ready(std::uint32_t) override {
    for (int fd = -1; (fd = accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      auto* added = new stream(owner_, fd);
      owner_.streams_.insert(added);
      owner_.loop_.add(fd, *added, EPOLLIN);
    }
  }

private:
  provider& owner_;
  int fd_;
};

provider::provider(loop& events, std::uint16_t& port)
    : loop_(events), acceptor_(std::make_unique<acceptor>(*this, port)) {}

provider::~provider() {
  for (auto* each : streams_)
    delete each;
}

void provider::drop(stream& which) {
  if (which.answering())
    ++totals_.abandoned;
  if (on_gone)
    on_gone(which);
  streams_.erase(&which);
  delete &which;
}

provider::stream::~stream() { close(fd_); }

void provider::stream::ready(std::uint32_t events) {
  if (events & EPOLLOUT)
    flush();
  if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
    return;
  std::array<char, 65536> buffer;
  const auto n = recv(fd_, buffer.data(), buffer.size(), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n <= 0)
    return owner_.drop(*this);
  in_.append(buffer.data(), static_cast<std::size_t>(n));
  const auto head_end = in_.find("\r\n\r\n");
  if (head_end == std::string::npos)
    return;
  std::string head = in_.substr(0, head_end);
  std::transform(head.begin(), head.end(), head.begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  });
  const auto at = head.find("content-length:");
  const std::size_t length =
      at == std::string::npos ? 0 : std::strtoul(&head[at + 15], nullptr, 10);
  if (in_.size() < head_end + 4 + length)
    return;
  const std::string body = in_.substr(head_end + 4, length);
  in_.erase(0, head_end + 4 + length);
  answer(body);
}

void provider::stream::answer(std::string_view body) {
  const bool streamed = body.find("\"stream\":true") != std::string_view::npos ||
                        body.find("\"stream\": true") != std::string_view::npos;
  if (!streamed) {
    constexpr std::string_view json =
        R"({"id":"c","object":"chat.completion","created":0,"model":"stand-in","choices":[{"index":0,)"
        R"("message":{"role":"assistant","content":"Fine."},"finish_reason":"stop"}],)"
        R"("usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}})";
    out_.append("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
                std::to_string(json.size()) + "\r\n\r\n");
    out_.append(json);
    return flush();
  }
  out_.append(
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
  answering_ = true;
  tokens_ = 0;
  behind_request_ = 0;
  for_each_stamp(body, [&](const stamp& each) { behind_request_ = each.sequence + 1; });
  ++owner_.totals_.streams;
  flush();
  if (owner_.on_answer)
    owner_.on_answer(*this);
}

void provider::stream::send_chunk(std::string_view data) {
  char size[16];
  std::snprintf(size, sizeof size, "%zx\r\n", data.size());
  out_.append(size);
  out_.append(data);
  out_.append("\r\n");
}

void provider::stream::send_token(std::uint64_t sequence) {
  if (!answering_)
    return;
  char data[256];
  const int n = std::snprintf(
      data, sizeof data,
      "data: "
      "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":\"stand-in\","
      "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" "
      "@%llu:%llu;\"},\"finish_reason\":null}]}\n\n",
      static_cast<unsigned long long>(sequence), static_cast<unsigned long long>(now_ns()));
  if (!out_.empty())
    ++owner_.totals_.blocked;
  send_chunk({data, static_cast<std::size_t>(n)});
  ++tokens_;
  ++owner_.totals_.tokens;
  flush();
}

void provider::stream::finish() {
  if (!answering_)
    return;
  answering_ = false;
  const auto count = std::to_string(tokens_);
  send_chunk(
      "data: "
      "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":\"stand-in\","
      "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n");
  send_chunk(
      "data: "
      "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":\"stand-in\","
      "\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":" +
      count + ",\"total_tokens\":" + count + "}}\n\n");
  send_chunk("data: [DONE]\n\n");
  out_.append("0\r\n\r\n");
  flush();
}

void provider::stream::flush() {
  // A lost peer shows as a hang-up event, which drops the stream outside of any caller's loop.
  if (!out_.flush(fd_))
    return;
  if (const bool full = !out_.empty(); full != waits_for_space_) {
    waits_for_space_ = full;
    owner_.loop_.modify(fd_, *this, full ? EPOLLIN | EPOLLOUT : EPOLLIN);
  }
}

pacer::pacer(unsigned rate, std::uint64_t tokens)
    : slots_(rate && 1000 % rate == 0 ? 1000 / rate : 0), tokens_(tokens) {
  if (slots_.empty()) {
    errno = 0;
    die("the rate must divide 1000");
  }
}

void pacer::add(provider::stream& which, std::uint64_t first) {
  slots_[next_slot_++ % slots_.size()].push_back({&which, first});
}

void pacer::remove(provider::stream& which) {
  for (auto& slot : slots_)
    std::erase_if(slot, [&](const paced& each) { return each.target == &which; });
}

void pacer::tick() {
  const auto now_ms = now_ns() / 1'000'000;
  if (last_ms_ == 0)
    last_ms_ = now_ms;
  for (; last_ms_ < now_ms; ++last_ms_) {
    auto& slot = slots_[last_ms_ % slots_.size()];
    for (auto& each : slot)
      if (each.sequence < tokens_)
        each.target->send_token(each.sequence++);
      else
        each.target->finish();
    std::erase_if(slot, [](const paced& each) { return !each.target->answering(); });
  }
}

}  // namespace bench
