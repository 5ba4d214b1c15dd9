#include "load/follower.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace bench {

namespace {

constexpr std::uint64_t stall_ns = 200'000'000;

}  // namespace

follower::follower(loop& events, reading& sum, const address& server, std::string request,
                   int receive_buffer_bytes)
    : loop_(events),
      sum_(sum),
      fd_(connect_to(server, receive_buffer_bytes)),
      request_(std::move(request)) {
  loop_.add(fd_, *this, EPOLLOUT);
}

follower::~follower() {
  if (fd_ >= 0)
    close(fd_);
}

void follower::pause() {
  paused_ = true;
  if (fd_ >= 0 && connected_)
    loop_.modify(fd_, *this, 0);
}

void follower::resume() {
  paused_ = false;
  if (fd_ >= 0 && connected_)
    loop_.modify(fd_, *this, EPOLLIN);
}

void follower::ready(std::uint32_t events) {
  if (!connected_) {
    if (events & EPOLLERR)
      return ended();
    connected_ = true;
    if (send(fd_, request_.data(), request_.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request_.size()))
      return ended();
    request_ = {};
    loop_.modify(fd_, *this, paused_ ? 0u : static_cast<std::uint32_t>(EPOLLIN));
    return;
  }
  read();
}

void follower::read() {
  static char
      buffer[256 * 1024];  // shared: the loop has one thread, and a reader keeps no bytes in it
  const auto n = recv(fd_, buffer, sizeof buffer, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n <= 0)
    return ended();
  sum_.bytes += static_cast<std::uint64_t>(n);
  ++sum_.receives;
  const auto now = now_ns();
  response_.feed({buffer, static_cast<std::size_t>(n)}, [&](std::string_view body) {
    if (response_.status() == 200)
      events_.feed(body, [&](std::string_view text) { event(text, now); });
    else if (response_.status() == 101)
      web_socket_bytes(body);
    else if (sum_.first_refusal.size() < 300)
      sum_.first_refusal.append(body);
  });
  if (!open_ && response_.has_head()) {
    open_ = true;
    const bool accepted = response_.status() == 200 || response_.status() == 101;
    ++(accepted ? sum_.open : sum_.refused);
  }
  if (response_.complete())
    ended();
}

void follower::event(std::string_view text, std::uint64_t now) {
  const auto name = field(text, "event:");
  if (name == "complete")
    ++sum_.completed;
  else if (name == "error")
    ++sum_.failed;
  if (!name.empty() && name != "chunk")
    return;
  const auto data = field(text, "data:");
  if (data.empty())
    return;
  ++sum_.events;
  for_each_stamp(data, [&](const stamp& each) {
    ++sum_.tokens;
    if (!flowing_) {
      flowing_ = true;
      ++sum_.flowing;
    } else if (each.sequence != next_sequence_) {
      ++sum_.out_of_order;
    }
    next_sequence_ = each.sequence + 1;
    if (sum_.measuring) {
      sum_.latency.add(now > each.sent_ns ? now - each.sent_ns : 0);
      if (last_token_ns_ && now - last_token_ns_ > stall_ns)
        ++sum_.stalls;
    }
    last_token_ns_ = now;
  });
}

void follower::web_socket_bytes(std::string_view bytes) {
  // Idle connections see pings only; a ping arrives whole and is answered with a masked, equal
  // pong.
  if (bytes.size() < 2 || static_cast<unsigned char>(bytes[0]) != 0x89)
    return;
  const auto length = static_cast<std::size_t>(bytes[1] & 0x7f);
  if (length > 125 || bytes.size() < 2 + length)
    return;
  std::string pong{static_cast<char>(0x8a), static_cast<char>(0x80 | length), 0, 0, 0, 0};
  pong.append(bytes.substr(2, length));
  if (send(fd_, pong.data(), pong.size(), MSG_NOSIGNAL) < 0)
    ended();
}

void follower::ended() {
  if (fd_ < 0)
    return;
  ++sum_.closed;
  loop_.remove(fd_);
  close(fd_);
  fd_ = -1;
}

}  // namespace bench
