#include "sql/connection.hpp"

#include <algorithm>
#include <utility>

namespace kgents::sql {

namespace {

constexpr std::string_view set_context = "SELECT kg.set_tenant_context($1)";
constexpr std::string_view set_control_context = "SELECT kg.set_control_context($1)";
constexpr std::string_view check_lease = "SELECT kg.check_lease($1, $2)";
constexpr std::string_view set_context_and_check_lease =
    "SELECT kg.set_tenant_context($1), kg.check_lease($2, $3)";
constexpr std::string_view set_control_context_and_check_lease =
    "SELECT kg.set_control_context($1), kg.check_lease($2, $3)";

constexpr std::string_view old_lease = "KG001";  // raised by kg.check_lease
constexpr std::string_view elsewhere = "KG003";  // the tenant's data is in another database
constexpr std::string_view may_only_read = "25006";

/// A tenant's data may be on its way to another database, and then it is read only.
failure::kind kind_of(std::string_view sqlstate, const transaction& work) {
  if (sqlstate == old_lease)
    return failure::kind::fenced;
  if (sqlstate == elsewhere ||
      (work.tenant && work.where == plane::data && sqlstate == may_only_read))
    return failure::kind::moving;
  return failure::kind::rejected;
}

std::string field(const PGresult* result, int which) {
  const auto* text = PQresultErrorField(result, which);
  return text != nullptr ? text : "";
}

}  // namespace

connection::connection(boost::asio::io_context& context, const pool_options& options,
                       connection_events& events)
    : link{context,
           {.url = options.url,
            .application_name = options.application_name,
            .connect_timeout = options.connect_timeout,
            .reconnect_min = options.reconnect_min,
            .reconnect_max = options.reconnect_max}},
      events_{&events} {}

void connection::close() {
  drop(cause::lost);
  events_ = nullptr;
  end();
}

void connection::abandon() {
  events_ = nullptr;
  end();
}

bool connection::prepare() { return PQenterPipelineMode(pg()) == 1; }

void connection::connected() {
  settled();
  fatal_ = false;
  writing_ = false;
  events_->ready(*this);
}

void connection::connect_failed() { events_->connect_failed(*this); }

bool connection::send(std::string_view text, const std::vector<param>& params) {
  values_.clear();
  for (const auto& x : params)
    values_.push_back(x ? x->c_str() : nullptr);
  return PQsendQueryParams(pg(), text.data(), static_cast<int>(values_.size()), nullptr,
                           values_.data(), nullptr, nullptr, 0) == 1;
}

// One statement, so that the fence costs no more than the context alone.
bool connection::send_context(const transaction& work) {
  const bool control = work.where == plane::control;
  if (!work.fence)
    return !work.tenant || send(control ? set_control_context : set_context, {work.tenant->text()});
  auto shard = std::to_string(work.fence->shard.value);
  auto epoch = std::to_string(work.fence->epoch);
  if (!work.tenant)
    return send(check_lease, {std::move(shard), std::move(epoch)});
  return send(control ? set_control_context_and_check_lease : set_context_and_check_lease,
              {work.tenant->text(), std::move(shard), std::move(epoch)});
}

bool connection::push(pending& x) {
  auto& work = x.work;
  bool sent = send_context(work);
  for (size_t i = 0; sent && i < work.statements.size(); ++i)
    sent = send(work.statements[i].text, work.statements[i].params);
  // PQpipelineSync of libpq 15 also writes to the socket, once a transaction; only libpq 17 can put
  // that off.
  if (!sent || PQpipelineSync(pg()) != 1) {
    drop(cause::lost);
    return false;
  }
  auto& f = flights_.emplace_back();
  f.done = std::move(x.done);
  f.skip_context = work.tenant || work.fence;
  f.results.reserve(work.statements.size());
  f.work = std::move(work);  // also needed when it is refused here and belongs elsewhere
  return true;
}

void connection::flush() {
  if (!up())
    return;
  const int rest = PQflush(pg());
  if (rest < 0)
    drop(cause::lost);
  else if (rest > 0 && !std::exchange(writing_, true))
    wait_writable();
}

void connection::writable() {
  writing_ = false;
  flush();
}

void connection::readable() {
  const bool busy = !flights_.empty();
  const bool open = PQconsumeInput(pg()) == 1;
  // Also after an end of file: what was received before it in full has been committed.
  const bool usable = receive();
  if (!open || !usable || PQstatus(pg()) == CONNECTION_BAD)
    return drop(cause::lost);
  wait_readable();
  if (busy && flights_.empty())
    events_->ready(*this);
}

bool connection::receive() {
  int nothing = 0;
  while (!flights_.empty() && PQisBusy(pg()) == 0) {
    auto* result = PQgetResult(pg());
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
      if (f.results.size() == f.work.statements.size())
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
      const auto what = kind_of(sqlstate, f.work);
      f.error = failure{what, std::move(sqlstate), field(result, PG_DIAG_MESSAGE_PRIMARY)};
      if (f.error->sqlstate == elsewhere)
        f.error->misplaced = std::make_shared<transaction>(std::move(f.work));
      return true;
    }
    case PGRES_PIPELINE_ABORTED:
      return true;
    case PGRES_PIPELINE_SYNC:
      if (f.error) {
        answer_front(std::move(*f.error));
      } else if (f.results.size() != f.work.statements.size()) {
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
  const auto late = [now](const flight& x) { return x.work.deadline <= now; };
  if (std::any_of(flights_.begin(), flights_.end(), late))
    drop(cause::deadline, now);
}

// What is known of a transaction in flight on a connection that is gone.
failure connection::verdict(flight& x, bool first, cause why, time_point now) const {
  using enum failure::kind;
  if (x.error)
    return std::move(*x.error);
  if (why == cause::deadline && x.work.deadline <= now)
    return {timeout, {}, "deadline passed while it ran"};
  // The server announced the end while it was at the first one, and did not begin the later ones.
  // Only when the first one's results are all there may its commit have happened before.
  const bool not_committed = fatal_ && (!first || x.results.size() < x.work.statements.size());
  if (not_committed || x.work.read_only)
    return {unavailable, {}, "connection lost"};
  return {unknown_outcome, {}, "connection lost before the commit was confirmed"};
}

void connection::drop(cause why, time_point now) {
  auto* events = events_;
  auto flights = std::exchange(flights_, {});
  if (!cut())
    return;
  retry_later(false);
  events->lost(*this);
  for (bool first = true; auto& x : flights) {
    auto result = verdict(x, first, why, now);
    first = false;
    events->answered(false);
    x.done(std::move(result));
  }
}

}  // namespace kgents::sql
