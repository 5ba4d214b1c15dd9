#include "sql/link.hpp"

#include <unistd.h>

#include <algorithm>
#include <utility>

namespace kgents::sql {

namespace {

void ignore_notice(void*, const char*) {}  // libpq would print them to standard error

}  // namespace

link::link(boost::asio::io_context& context, link_options options)
    : options_{std::move(options)},
      timer_{context.get_executor()},
      socket_{context.get_executor()},
      random_{std::random_device{}()} {}

link::~link() { disconnect(); }

void link::start() { connect(); }

void link::connect() {
  state_ = state::connecting;
  const auto attempt = ++attempt_;
  // TCP's own probes find a server that is gone in five seconds, also while nothing is asked of it.
  // Before dbname, so that the URL has the last word.
  const char* keywords[] = {"keepalives_idle",
                            "keepalives_interval",
                            "keepalives_count",
                            "dbname",
                            "client_encoding",
                            "fallback_application_name",
                            nullptr};
  const char* values[] = {
      "2", "1", "3", options_.url.c_str(), "UTF8", options_.application_name.c_str(), nullptr};
  pg_ = PQconnectStartParams(keywords, values, 1);
  if (pg_ == nullptr || PQstatus(pg_) == CONNECTION_BAD)
    return attempt_failed();
  PQsetNoticeProcessor(pg_, ignore_notice, nullptr);
  timer_.expires_after(options_.connect_timeout);
  timer_.async_wait([self = shared_from_this(), attempt](const auto& error) {
    if (!error && attempt == self->attempt_ && self->state_ == state::connecting)
      self->attempt_failed();
  });
  // As documented: before the first PQconnectPoll the socket is to be waited on for writing.
  if (!watch_socket())
    return attempt_failed();
  socket_.async_wait(descriptor::wait_write, [self = shared_from_this(), attempt](const auto&) {
    self->poll_connect(attempt);
  });
}

void link::poll_connect(uint64_t attempt) {
  if (attempt != attempt_ || state_ != state::connecting)
    return;
  const auto status = PQconnectPoll(pg_);
  if (status == PGRES_POLLING_OK)
    return established();
  // libpq may have moved on to another socket (next address, without TLS), possibly with the same
  // number.
  if (status == PGRES_POLLING_FAILED || !watch_socket())
    return attempt_failed();
  socket_.async_wait(
      status == PGRES_POLLING_READING ? descriptor::wait_read : descriptor::wait_write,
      [self = shared_from_this(), attempt](const auto& error) {
        if (error != boost::asio::error::operation_aborted)
          self->poll_connect(attempt);
      });
}

// Asio watches a duplicate: libpq owns its descriptor and closes it when it likes, which would
// leave Asio's registration dangling or, worse, on someone else's descriptor.
bool link::watch_socket() {
  boost::system::error_code ignored;
  if (socket_.is_open())
    socket_.close(ignored);
  const int copy = ::dup(PQsocket(pg_));
  if (copy < 0)
    return false;
  boost::system::error_code error;
  socket_.assign(copy, error);
  if (error)
    ::close(copy);
  return !error;
}

void link::established() {
  timer_.cancel();
  if (PQsetnonblocking(pg_, 1) != 0 || !prepare() || !watch_socket())
    return attempt_failed();
  state_ = state::up;
  wait_readable();
  connected();
}

void link::attempt_failed() {
  cut();
  retry_later(true);
  connect_failed();
}

void link::retry_later(bool failed) {
  const auto attempt = attempt_;
  const auto longest =
      std::min(options_.reconnect_max, options_.reconnect_min * (1 << std::min(failures_, 16u)));
  if (failed)
    ++failures_;
  // Half of the delay is random, so that the connections of many nodes do not come back in step.
  std::uniform_int_distribution<int64_t> spread{longest.count() / 2, longest.count()};
  timer_.expires_after(std::chrono::milliseconds{spread(random_)});
  timer_.async_wait([self = shared_from_this(), attempt](const auto& error) {
    if (!error && attempt == self->attempt_ && self->state_ == state::down)
      self->connect();
  });
}

bool link::cut() {
  ++attempt_;
  disconnect();
  const bool was_up = up();
  if (state_ != state::ended)
    state_ = state::down;
  return was_up;
}

void link::end() {
  cut();
  state_ = state::ended;
  timer_.cancel();
}

void link::disconnect() {
  boost::system::error_code ignored;
  if (socket_.is_open())
    socket_.close(ignored);
  if (pg_ != nullptr)
    PQfinish(pg_);
  pg_ = nullptr;
}

void link::wait_writable() {
  socket_.async_wait(descriptor::wait_write,
                     [self = shared_from_this(), attempt = attempt_](const auto& error) {
                       if (!error && attempt == self->attempt_ && self->up())
                         self->writable();
                     });
}

void link::wait_readable() {
  socket_.async_wait(descriptor::wait_read,
                     [self = shared_from_this(), attempt = attempt_](const auto& error) {
                       if (!error && attempt == self->attempt_ && self->up())
                         self->readable();
                     });
}

}  // namespace kgents::sql
