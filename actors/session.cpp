#include "actors/session.hpp"

#include <algorithm>
#include <caf/actor_cast.hpp>

#include "runtime/limits.hpp"
#include "runtime/log_writer.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::actors {

namespace limits = runtime::limits;

namespace {

struct tick_message {};
struct later_message {};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, tick_message&) {
  return f();
}
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, later_message&) {
  return f();
}

refusal not_found() { return {404, "Session not found", 0, ""}; }

}  // namespace

session::session(caf::actor_config& config, entity_id id,
                 std::shared_ptr<const session_services> services, lease_epoch lease)
    : caf::event_based_actor(config),
      id_{id},
      services_{std::move(services)},
      lease_{lease},
      log_{services_->logs->open(id)} {}

caf::behavior session::make_behavior() {
  set_default_handler(caf::drop);
  set_down_handler([this](const caf::down_msg& down) {
    if (running_ && running_->worker && down.source == running_->worker.address() &&
        !running_->finished)
      worker_lost();
  });
  if (!log_->begin(lease_, address(), runtime::session_log::start::anywhere)) {
    fenced();
    return {};
  }
  services_->advanced(log_);  // readers of another owner's positions look for their places
  last_use_ = clock().now();
  delayed_send(this, limits::log_keep_ended, tick_message{});
  load();
  return {
      [this](const get_session&) {
        return when_ready<session_view>([this](auto out) { out.deliver(answer{view()}); });
      },
      [this](const update_session& x) {
        return when_ready<session_view>([this, x](auto out) { update(x, out); });
      },
      [this](const remove_session&) {
        return when_ready<session_view>([this](auto out) { remove(out); });
      },
      [this](const send_message& x) {
        return when_ready<accepted>([this, x](auto out) { receive(x, out); });
      },
      [this](const cancel_turn& x) {
        return when_ready<canceled>([this, x](auto out) { cancel(x.turn, out); });
      },
      [this](const attach_reader& x) {
        return when_ready<runtime::attached>([this, x](auto out) { place_reader(x, out); });
      },
      [this](runtime::leave_node) { return leave(); },
      [this](runtime::stay_on_node) { stay(); },
      [this](leave_check) { try_to_leave(); },
      [this](const runtime::turn_held& x) {
        if (running_ && running_->id == x.turn && running_->epoch == x.epoch &&
            running_->holds_open > 0)
          --running_->holds_open;
      },
      [this](turn_chunks& x) { chunks_arrived(x); },
      [this](turn_finished& x) {
        if (running_ && running_->id == x.turn && running_->epoch == x.epoch && !running_->finished)
          finish(std::move(x));
      },
      [this](runtime::log_committed) {
        // More may have come since: credit is for what nobody has yet to write.
        if (!log_->want_commit()) {
          grant();
          if (running_ && running_->reclaim)
            reclaim();
        }
        end_running();
      },
      [this](const runtime::log_refused& x) {
        if (running_ && running_->id == x.turn && running_->epoch == x.epoch)
          chunks_refused(x.fenced);
      },
      [this](tick_message) { tick(); },
      [this](later_message) {
        for (auto& work : std::exchange(later_, {}))
          work();
      },
  };
}

/// Promises hold the actor that gave them: kept here, they would keep it, its log and its permits
/// for good.
void session::on_exit() {
  held_.clear();
  beginnings_.clear();
  cancelers_.clear();
  later_.clear();
  when_running_.clear();
  leaving_.reset();
  waiting_.clear();
  running_.reset();
  permit_.reset();
  log_.reset();
}

/// First what is unfinished, then where the history ends: a turn whose end is committed in between
/// (late, by an activation that is gone) is then in both, and never in neither.
void session::load() {
  auto query = sql::turns::unfinished_of(id_.tenant, key());
  query.work.announces = sql::fence{shard_of(id_), lease_};
  runtime::run_query(this, services_->database, std::move(query), [this](auto out) {
    auto* found = std::get_if<0>(&out);
    if (found == nullptr) {
      if (!was_fenced(std::get<1>(out)))
        not_loaded();
      return;
    }
    auto state = sql::sessions::get(id_.tenant, key());
    runtime::run_query(this, services_->database, std::move(state),
                       [this, found = std::move(*found)](auto row) mutable {
                         if (auto* x = std::get_if<0>(&row))
                           loaded(std::move(*x), std::move(found));
                         else
                           not_loaded();
                       });
  });
}

void session::loaded(std::optional<sql::session_row> row, std::vector<sql::unfinished_turn> found) {
  if (!row) {
    gone(not_found());
    return;
  }
  row_ = std::move(*row);
  if (auto mode = persona::parse_mode(row_.mode))
    soul_.active = *mode;
  if (row_.last_ended)
    std::erase_if(found, [&](const auto& x) { return x.id == row_.last_ended->turn; });
  const auto open = log_->open_turn();
  const auto same = [&](const sql::unfinished_turn& x) { return x.id == *open; };
  // The log breaks off in a turn that has ended: its end was stored and not shown here.
  if (open && std::none_of(found.begin(), found.end(), same) && log_->begin_anew(lease_))
    services_->advanced(log_);
  begin_log_behind_history();
  phase_ = phase::ready;
  arrived_ = services_->arrived(id_);
  take_over(std::move(found));
  arrived_.reset();
  for (auto& work : std::exchange(held_, {}))
    work();
}

/// When nothing was shown here yet, what comes first follows what the session said last.
void session::begin_log_behind_history() {
  log_->begin_behind(row_.last_ended ? cursor{row_.last_ended->turn, row_.last_ended->epoch,
                                              static_cast<int64_t>(row_.last_ended->chunks)}
                                     : cursor{});
}

void session::not_loaded() {
  gone({503, "The database is out of reach. Try again shortly.", 1, "unavailable"});
}

/// There is nothing to serve: answers `why` to all who wait or come until the region has forgotten
/// this activation.
void session::gone(refusal why) {
  phase_ = phase::missing;
  wrong_ = std::move(why);
  for (auto& work : std::exchange(held_, {}))
    work();
  later([this] {
    if (services_->retire(id_, address()))
      quit();
    else
      gone(wrong_);
  });
}

/// Another activation owns the session: who waits for this one is sent there.
void session::fenced() {
  log::warn("session stopped: another activation owns it",
            {{"tenant_id", id_.tenant.text()}, {"session_id", id_.key.text()}});
  quit(runtime::fenced_error());
}

bool session::was_fenced(const sql::failure& why) {
  if (why.what != sql::failure::kind::fenced)
    return false;
  fenced();
  return true;
}

void session::later(std::function<void()> work) {
  later_.push_back(std::move(work));
  if (later_.size() == 1)
    delayed_send(this, limits::end_turn_retry, later_message{});
}

template <class T>
caf::result<answer<T>> session::when_ready(std::function<void(promise<T>)> work) {
  last_use_ = clock().now();
  auto out = make_response_promise<answer<T>>();
  if (removed_) {
    out.deliver(answer<T>{not_found()});
    return out;
  }
  switch (phase_) {
    case phase::ready:
      work(out);
      break;
    case phase::loading:
      held_.push_back([this, out, work = std::move(work)]() mutable {
        if (phase_ == phase::ready)
          work(out);
        else
          out.deliver(answer<T>{wrong_});
      });
      break;
    case phase::missing:
      out.deliver(answer<T>{wrong_});
  }
  return out;
}

session_view session::view() const {
  session_view out;
  out.id = row_.id;
  out.tenant = row_.tenant;
  out.has_title = row_.title.has_value();
  out.title = row_.title.value_or("");
  out.agent_type = row_.agent_type;
  out.status = row_.status;
  out.created_at = row_.created_at;
  out.message_count = static_cast<int64_t>(row_.message_count);
  out.tokens_used = static_cast<int64_t>(row_.tokens_used);
  return out;
}

void session::update(const update_session& ask, promise<session_view> out) {
  sql::session_change change;
  if (ask.set_title)
    change.title = ask.has_title ? std::optional{ask.title} : std::nullopt;
  if (!ask.status.empty())
    change.status = ask.status;
  auto query = under_lease(sql::sessions::update(id_.tenant, session_id{id_.key}, change));
  runtime::run_query(this, services_->database, std::move(query), [this, out](auto result) mutable {
    if (auto* row = std::get_if<0>(&result)) {
      if (!*row) {
        out.deliver(answer<session_view>{not_found()});
        return;
      }
      row_.title = (*row)->title;
      row_.status = (*row)->status;
      out.deliver(answer{view()});
    } else if (!was_fenced(std::get<1>(result))) {
      out.deliver(answer<session_view>{refused_by_database(std::get<1>(result))});
    }
  });
}

void session::remove(promise<session_view> out) {
  auto query = under_lease(sql::sessions::remove(id_.tenant, key()));
  runtime::run_query(this, services_->database, std::move(query), [this, out](auto result) mutable {
    auto* removed = std::get_if<0>(&result);
    if (removed == nullptr) {
      if (!was_fenced(std::get<1>(result)))
        out.deliver(answer<session_view>{refused_by_database(std::get<1>(result))});
      return;
    }
    if (!*removed) {
      out.deliver(answer<session_view>{not_found()});
      return;
    }
    row_.status = "closed";
    removed_ = true;
    for (auto& x : waiting_)
      x.cancel = true;
    cancel_running();
    close_if_removed();
    out.deliver(answer{view()});
  });
}

/// The followers of a removed session end once its last turn has.
void session::close_if_removed() {
  if (!removed_ || running_ || !waiting_.empty())
    return;
  log_->close();
  services_->advanced(log_);
}

void session::tick() {
  const auto now = clock().now();
  if (!running_ && now - last_use_ >= limits::log_keep_ended)
    log_->drop_before(ended_before_);
  const bool busy = running_ || !waiting_.empty() || beginning_ || claiming_ || looking_ ||
                    replays_ > 0 || phase_ != phase::ready;
  if (!busy && !leaving_ && now - last_use_ >= limits::passivate_after &&
      services_->retire(id_, address())) {
    quit();
    return;
  }
  delayed_send(this, limits::log_keep_ended, tick_message{});
}

}  // namespace kgents::actors
