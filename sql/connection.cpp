#include "sql/connection.hpp"

#include <unistd.h>

#include <algorithm>
#include <utility>

namespace kgents::sql {

namespace {

constexpr std::string_view set_context = "SELECT kg.set_tenant_context($1)";
constexpr std::string_view check_lease = "SELECT kg.check_lease($1, $2)";
constexpr std::string_view set_context_and_check_lease =
    "SELECT kg.set_tenant_context($1), kg.check_lease($2, $3)";

constexpr std::string_view old_lease = "KG001";  // raised by kg.check_lease

std::string field(const PGresult* result, int which) {
  const auto* text = PQresultErrorField(result, which);
  return text != nullptr ? text : "";
}

void ignore_notice(void*, const char*) {}  // libpq would print them to standard error

}  // namespace

connection::connection(boost::asio::io_context& context, const pool_options& options,
                       connection_events& events)
    : options_{&options},
      events_{&events},
      timer_{context.get_executor()},
      socket_{context.get_executor()},
      random_{std::random_device{}()} {}

connection::~connection() { disconnect(); }

void connection::start() { connect(); }

void connection::close() {
  if (state_ == state::closed)
    return;
  drop(cause::lost);
  state_ = state::closed;
  events_ = nullptr;
  timer_.cancel();
}

void connection::abandon() {
  state_ = state::closed;
  events_ = nullptr;
  disconnect();
}

void connection::connect() {
  state_ = state::connecting;
  const auto attempt = ++attempt_;
  const char* keywords[] = {"dbname", "client_encoding", "fallback_application_name", nullptr};
  const char* values[] = {options_->url.c_str(), "UTF8", options_->application_name.c_str(),
                          nullptr};
  pg_ = PQconnectStartParams(keywords, values, 1);
  if (pg_ == nullptr || PQstatus(pg_) == CONNECTION_BAD)
    return retry_later();
  PQsetNoticeProcessor(pg_, ignore_notice, nullptr);
  timer_.expires_after(options_->connect_timeout);
  timer_.async_wait([self = shared_from_this(), attempt](const auto& error) {
    if (!error && attempt == self->attempt_ && self->state_ == state::connecting)
      self->retry_later();
  });
  // As documented: before the first PQconnectPoll the socket is to be waited on for writing.
  if (!watch_socket())
    return retry_later();
  socket_.async_wait(descriptor::wait_write, [self = shared_from_this(), attempt](const auto&) {
    self->poll_connect(attempt);
  });
}

void connection::poll_connect(uint64_t attempt) {
  if (attempt != attempt_ || state_ != state::connecting)
    return;
  const auto status = PQconnectPoll(pg_);
  if (status == PGRES_POLLING_OK)
    return connected();
  // libpq may have moved on to another socket (next address, without TLS), possibly with the same
  // number.
  if (status == PGRES_POLLING_FAILED || !watch_socket())
    return retry_later();
  socket_.async_wait(
      status == PGRES_POLLING_READING ? descriptor::wait_read : descriptor::wait_write,
      [self = shared_from_this(), attempt](const auto& error) {
        if (error != boost::asio::error::operation_aborted)
          self->poll_connect(attempt);
      });
}

// Asio watches a duplicate: libpq owns its descriptor and closes it when it likes, which would
// leave Asio's registration dangling or, worse, on someone else's descriptor.
bool connection::watch_socket() {
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

void connection::connected() {
  timer_.cancel();
  if (PQsetnonblocking(pg_, 1) != 0 || PQenterPipelineMode(pg_) != 1 || !watch_socket())
    return retry_later();
  state_ = state::up;
  failures_ = 0;
  fatal_ = false;
  writing_ = false;
  wait_readable();
  events_->ready(*this);
}

void connection::retry_later() {
  const bool failed = state_ == state::connecting;
  disconnect();
  state_ = state::down;
  const auto attempt = ++attempt_;
  const auto longest =
      std::min(options_->reconnect_max, options_->reconnect_min * (1 << std::min(failures_, 16u)));
  if (failed)
    ++failures_;
  // Half of the delay is random, so that the connections of many nodes do not come back in step.
  std::uniform_int_distribution<int64_t> spread{longest.count() / 2, longest.count()};
  timer_.expires_after(std::chrono::milliseconds{spread(random_)});
  timer_.async_wait([self = shared_from_this(), attempt](const auto& error) {
    if (!error && attempt == self->attempt_ && self->state_ == state::down)
      self->connect();
  });
  if (failed)
    events_->connect_failed(*this);
}

void connection::disconnect() {
  boost::system::error_code ignored;
  if (socket_.is_open())
    socket_.close(ignored);
  if (pg_ != nullptr)
    PQfinish(pg_);
  pg_ = nullptr;
}

bool connection::send(std::string_view text, const std::vector<param>& params) {
  values_.clear();
  for (const auto& x : params)
    values_.push_back(x ? x->c_str() : nullptr);
  return PQsendQueryParams(pg_, text.data(), static_cast<int>(values_.size()), nullptr,
                           values_.data(), nullptr, nullptr, 0) == 1;
}

// One statement, so that the fence costs no more than the context alone.
bool connection::send_context(const transaction& work) {
  if (!work.fence)
    return !work.tenant || send(set_context, {work.tenant->text()});
  auto shard = std::to_string(work.fence->shard.value);
  auto epoch = std::to_string(work.fence->epoch);
  if (!work.tenant)
    return send(check_lease, {std::move(shard), std::move(epoch)});
  return send(set_context_and_check_lease,
              {work.tenant->text(), std::move(shard), std::move(epoch)});
}

bool connection::push(pending& x) {
  auto& work = x.work;
  bool sent = send_context(work);
  for (size_t i = 0; sent && i < work.statements.size(); ++i)
    sent = send(work.statements[i].text, work.statements[i].params);
  // PQpipelineSync of libpq 15 also writes to the socket, once a transaction; only libpq 17 can put
  // that off.
  if (!sent || PQpipelineSync(pg_) != 1) {
    drop(cause::lost);
    return false;
  }
  auto& f = flights_.emplace_back();
  f.done = std::move(x.done);
  f.deadline = work.deadline;
  f.statements = work.statements.size();
  f.skip_context = work.tenant || work.fence;
  f.read_only = work.read_only;
  f.results.reserve(f.statements);
  return true;
}

void connection::flush() {
  if (state_ != state::up)
    return;
  const int rest = PQflush(pg_);
  if (rest < 0)
    drop(cause::lost);
  else if (rest > 0 && !writing_)
    wait_writable();
}

void connection::wait_writable() {
  writing_ = true;
  socket_.async_wait(descriptor::wait_write,
                     [self = shared_from_this(), attempt = attempt_](const auto& error) {
                       if (error || attempt != self->attempt_ || self->state_ != state::up)
                         return;
                       self->writing_ = false;
                       self->flush();
                     });
}

void connection::wait_readable() {
  socket_.async_wait(descriptor::wait_read,
                     [self = shared_from_this(), attempt = attempt_](const auto& error) {
                       if (!error && attempt == self->attempt_ && self->state_ == state::up)
                         self->on_readable();
                     });
}

void connection::on_readable() {
  const bool busy = !flights_.empty();
  const bool open = PQconsumeInput(pg_) == 1;
  // Also after an end of file: what was received before it in full has been committed.
  const bool usable = receive();
  if (!open || !usable || PQstatus(pg_) == CONNECTION_BAD)
    return drop(cause::lost);
  wait_readable();
  if (busy && flights_.empty())
    events_->ready(*this);
}

bool connection::receive() {
  int nothing = 0;
  while (!flights_.empty() && PQisBusy(pg_) == 0) {
    auto* result = PQgetResult(pg_);
    if (result == nullptr) {
      // One follows each statement's result; two in a row mean that libpq expects no more while we
      // do.
      if (++nothing > 1)
        return false;
      continue;
    }
    nothing = 0;
    if (!take(result))
      return false;
  }
  return true;
}

bool connection::take(PGresult* result) {
  rows owned{result};
  auto& f = flights_.front();
  switch (PQresultStatus(result)) {
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
    case PGRES_EMPTY_QUERY:
      if (std::exchange(f.skip_context, false))
        return true;
      if (f.results.size() == f.statements)
        return false;
      f.results.push_back(std::move(owned));
      return true;
    case PGRES_FATAL_ERROR: {
      auto sqlstate = field(result, PG_DIAG_SQLSTATE);
      if (sqlstate.empty())
        return false;  // made up by libpq: the stream is broken
      const auto severity = field(result, PG_DIAG_SEVERITY_NONLOCALIZED);
      if (severity == "FATAL" || severity == "PANIC") {
        fatal_ = true;  // the end of file follows
        return true;
      }
      const auto what =
          sqlstate == old_lease ? failure::kind::fenced : failure::kind::rejected;
      f.error = failure{what, std::move(sqlstate), field(result, PG_DIAG_MESSAGE_PRIMARY)};
      return true;
    }
    case PGRES_PIPELINE_ABORTED:
      return true;
    case PGRES_PIPELINE_SYNC:
      if (f.error) {
        answer_front(std::move(*f.error));
      } else if (f.results.size() != f.statements) {
        return false;
      } else {
        answer_front(std::move(f.results));
      }
      return true;
    default:
      return false;  // COPY: not possible here
  }
}

void connection::answer_front(outcome result) {
  auto done = std::move(flights_.front().done);
  flights_.pop_front();
  events_->answered(std::holds_alternative<std::vector<rows>>(result));
  done(std::move(result));
}

void connection::expire(time_point now) {
  const auto late = [now](const flight& x) { return x.deadline <= now; };
  if (std::any_of(flights_.begin(), flights_.end(), late))
    drop(cause::deadline, now);
}

// What is known of a transaction in flight on a connection that is gone.
failure connection::verdict(flight& x, bool first, cause why, time_point now) const {
  using enum failure::kind;
  if (x.error)
    return std::move(*x.error);
  if (why == cause::deadline && x.deadline <= now)
    return {timeout, {}, "deadline passed while it ran"};
  // The server announced the end while it was at the first one, and did not begin the later ones.
  // Only when the first one's results are all there may its commit have happened before.
  const bool not_committed = fatal_ && (!first || x.results.size() < x.statements);
  if (not_committed || x.read_only)
    return {unavailable, {}, "connection lost"};
  return {unknown_outcome, {}, "connection lost before the commit was confirmed"};
}

void connection::drop(cause why, time_point now) {
  const bool was_up = state_ == state::up;
  auto* events = events_;
  auto flights = std::exchange(flights_, {});
  ++attempt_;
  disconnect();
  state_ = state::down;
  if (!was_up)
    return;
  retry_later();
  events->lost(*this);
  for (bool first = true; auto& x : flights) {
    auto result = verdict(x, first, why, now);
    first = false;
    events->answered(false);
    x.done(std::move(result));
  }
}

}  // namespace kgents::sql
