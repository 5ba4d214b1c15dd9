// A session's running turn: asked of the model, shown, ended, canceled.

#include <algorithm>
#include <ctime>

#include "actors/session.hpp"
#include "actors/token_room.hpp"
#include "runtime/limits.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::actors {

namespace limits = runtime::limits;

namespace {

/// Half of the credit: asked for while the other half is on its way, so the provider never pauses.
constexpr uint32_t credit_low = limits::turn_credit_chunks / 2;

uint32_t words(std::string_view text) {
  uint32_t count = 0;
  bool inside = false;
  for (const char c : text) {
    const bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    count += !space && !inside ? 1 : 0;
    inside = !space;
  }
  return count;
}

/// PostgreSQL's text holds no NUL: what a model says of it becomes U+FFFD.
void replace_nul(std::string& text) {
  for (size_t at = 0; (at = text.find('\0', at)) != std::string::npos; at += 3)
    text.replace(at, 1, "\xEF\xBF\xBD");
}

persona::local_time utc_now() {
  const auto now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  return {static_cast<unsigned>(parts.tm_hour), static_cast<unsigned>(parts.tm_wday)};
}

}  // namespace

void session::run() {
  auto& turn = *running_;
  turn.usage = usage_id{uuid::time_ordered()};
  turn.began = std::chrono::steady_clock::now();
  last_use_ = clock().now();
  show_durable_part();
  place_held_readers();
  if (turn.cancel) {
    cancel_running();
    return;
  }
  persona::dialogue_request ask;
  ask.message = turn.user_text;
  ask.requested = persona::parse_mode(turn.mode);
  ask.budget = persona::parse_budget(turn.budget).value_or(persona::budget_tier::dormant);
  ask.now = utc_now();
  ask.seed = std::hash<uuid>{}(turn.id.value);  // so that a continued turn chooses as it did
  auto plan = persona::plan_reply(ask, soul_);
  if (const auto* ready = plan.ready()) {
    if (turn.answer.ends.empty())
      add_chunks({ready->text});
    finish({turn.id, turn.epoch, "stop", "", "", "", 0, ready->tokens});
  } else {
    read_history(*plan.question());
  }
}

/// Opens the turn in the log, or goes on in it: with a new activation the log may hold what was
/// shown before, and what is durable beyond that is shown now.
void session::show_durable_part() {
  auto& turn = *running_;
  const auto shown = log_->shown_of(turn.id);
  if (shown.empty())
    show(make_turn_event(turn.id, turn.epoch, turn.message, turn.mode, turn.answer_id));
  const size_t have = shown.empty() ? 0 : static_cast<size_t>(shown.back()->place().index + 1);
  for (size_t i = have; i < turn.answer.chunks(); ++i)
    show(make_chunk_event(turn.id, turn.epoch, static_cast<chunk_index>(i),
                          std::string{turn.answer.chunk(static_cast<chunk_index>(i))},
                          turn.answer_id));
  // Shown before it was durable (durability `memory`): the readers have it, so the answer keeps it.
  for (const auto& x : shown)
    if (x->place().index >= static_cast<int64_t>(turn.answer.chunks())) {
      turn.answer.text += x->text;
      turn.answer.ends.push_back(static_cast<uint32_t>(turn.answer.text.size()));
    }
  turn.inherited = turn.answer.chunks();
  services_->advanced(log_);
}

/// Appends what is durable. Chunks of an earlier activation are published again with the same ids:
/// it may have died in between.
void session::show(event_ptr event) {
  services_->publish(id_, event);
  log_->append_shown(std::move(event), lease_);
}

void session::read_history(persona::model_request ask) {
  auto query = sql::messages::history(id_.tenant, key(), running_->id, history_lines);
  runtime::run_query(this, services_->database, std::move(query),
                     [this, ask = std::move(ask), id = running_->id](auto out) mutable {
                       if (!running_ || running_->id != id || running_->finished)
                         return;
                       if (auto* lines = std::get_if<0>(&out))
                         ask_model(ask, std::move(*lines));
                       else
                         later([this, ask = std::move(ask), id] {
                           if (running_ && running_->id == id && !running_->finished)
                             read_history(ask);
                         });
                     });
}

void session::ask_model(const persona::model_request& ask, std::vector<sql::history_line> history) {
  auto& turn = *running_;
  llm::prompt prompt;
  prompt.system = ask.system;
  for (auto& line : history)
    if (line.role == "user" || line.role == "assistant")
      prompt.messages.push_back({std::move(line.role), std::move(line.content)});
  prompt.messages.push_back({"user", ask.user});
  prompt.prefix = turn.answer.text;
  prompt.mode = persona::name(ask.used);
  prompt.deep = ask.deep;
  prompt.temperature = ask.temperature;
  prompt.max_tokens = ask.max_tokens;
  if (turn.most_tokens)
    fit(prompt, *turn.most_tokens);
  for (const auto& x : prompt.messages)
    turn.prompt_words += words(x.content);
  turn.worker = services_->start_turn(std::move(prompt), turn.id, turn.epoch,
                                      caf::actor_cast<caf::actor>(this));
  monitor(turn.worker);
  grant();
}

void session::add_chunks(std::vector<std::string> texts) {
  auto& turn = *running_;
  for (auto& text : texts) {
    replace_nul(text);
    const auto index = static_cast<chunk_index>(turn.answer.chunks());
    turn.answer.text += text;
    turn.answer.ends.push_back(static_cast<uint32_t>(turn.answer.text.size()));
    log_->append_chunk(make_chunk_event(turn.id, turn.epoch, index, std::move(text), turn.answer_id),
                       services_->show_at_once, lease_);
  }
  services_->appended(log_);
  if (services_->show_at_once)
    services_->advanced(log_);
  const auto held = log_->at();
  if (held.shown > held.base + limits::log_trim_running)
    log_->drop_before(held.shown - limits::log_keep_running);
}

void session::chunks_arrived(turn_chunks& x) {
  if (!running_ || running_->id != x.turn || running_->epoch != x.epoch || running_->finished)
    return;  // of a turn that was canceled meanwhile
  const auto count = static_cast<uint32_t>(x.texts.size());
  running_->credit -= std::min(count, running_->credit);
  add_chunks(std::move(x.texts));
  // Credit comes back when what was sent is committed: so PostgreSQL's pace reaches the provider's
  // socket.
  if (running_->credit <= credit_low && !log_->want_commit())
    grant();
}

void session::chunks_refused(bool by_fence) {
  if (by_fence) {
    fenced();
    return;
  }
  // For what they contain: the turn cannot be completed, so it ends with what is durable.
  auto& turn = *running_;
  const auto made = static_cast<uint32_t>(turn.answer.chunks());
  log_->drop_uncommitted();
  const auto shown = log_->shown_of(turn.id);  // its end at least, for the log keeps that
  const auto kept = static_cast<size_t>(shown.back()->place().index + 1);
  turn.answer.ends.resize(kept);
  turn.answer.text.resize(kept == 0 ? 0 : turn.answer.ends.back());
  finish({turn.id, turn.epoch, "", "internal", "The answer could not be stored.", "", 0, made});
}

void session::grant() {
  // Not while it leaves: on another node the credit could come after its next home, and be lost.
  if (!running_ || running_->finished || !running_->worker || running_->hold_sent)
    return;
  auto& turn = *running_;
  const bool full = services_->logs->uncommitted_bytes() > limits::log_uncommitted_bytes;
  const auto allowed = full ? limits::turn_credit_when_full : limits::turn_credit_chunks;
  if (allowed <= turn.credit)
    return;
  send(turn.worker, turn_credit{allowed - turn.credit});
  turn.credit = allowed;
}

void session::finish(turn_finished x) {
  auto& turn = *running_;
  turn.finished = std::move(x);
  turn.reclaim = false;  // canceled meanwhile: nobody makes the rest of it
  if (turn.worker) {
    demonitor(turn.worker);
    send_exit(turn.worker, caf::exit_reason::user_shutdown);
    turn.worker = nullptr;
  }
  end_running();
}

void session::end_running() {
  if (!running_ || !running_->finished || running_->ending)
    return;
  if (log_->want_commit())
    return;  // called again when its last chunk is committed
  auto& turn = *running_;
  turn.ending = true;
  const auto& last = *turn.finished;
  sql::turn_end end;
  end.turn = turn.id;
  end.epoch = turn.epoch;
  end.status = !last.error_type.empty()           ? sql::turn_status::failed
               : last.finish_reason == "canceled" ? sql::turn_status::canceled
                                                  : sql::turn_status::completed;
  end.answer = turn.answer;
  end.tokens_in = last.tokens_in;
  end.tokens_out = last.tokens_out;
  if (!last.finish_reason.empty())
    end.finish_reason = last.finish_reason;
  if (!last.error_type.empty()) {
    end.error_type = last.error_type;
    end.error = last.error;
  }
  if (!last.model.empty())
    end.model = last.model;
  end.latency = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - turn.began);
  end.usage = turn.usage;
  auto query = under_lease(sql::turns::end(id_.tenant, end));
  runtime::run_query(this, services_->database, std::move(query),
                     [this, end = std::move(end)](auto out) { ended(std::move(out), end); });
}

void session::ended(sql::answer<sql::ended_turn> out, const sql::turn_end& end) {
  auto& turn = *running_;
  turn.ending = false;
  if (auto* why = std::get_if<sql::failure>(&out)) {
    using kind = sql::failure::kind;
    if (was_fenced(*why))
      return;
    turn.unsure = turn.unsure || why->what == kind::unknown_outcome || why->what == kind::timeout;
    if (why->what == kind::rejected)
      log::error(
          "the end of a turn was refused",
          {{"sqlstate", why->sqlstate}, {"session_id", id_.key.text()}, {"error", why->message}});
    later([this] { end_running(); });
    return;
  }
  const auto& x = std::get<0>(out);
  if (!x.fenced)
    show_end(end, x.created_at);
  else if (turn.unsure)
    ask_whether_ended(end);
  else
    fenced();
}

/// Refused as ended already, after an attempt whose outcome is unknown: that attempt may have been
/// the one.
void session::ask_whether_ended(const sql::turn_end& end) {
  running_->ending = true;
  auto query = sql::turns::get(id_.tenant, key(), end.turn);
  runtime::run_query(this, services_->database, std::move(query), [this, end](auto out) {
    running_->ending = false;
    auto* row = std::get_if<0>(&out);
    if (row == nullptr)
      later([this] { end_running(); });
    else if (*row && (*row)->epoch == end.epoch && (*row)->status == end.status)
      show_end(end, (*row)->ended_at.value_or(""));
    else
      fenced();
  });
}

void session::show_end(const sql::turn_end& end, const std::string& created_at) {
  auto turn = std::move(*running_);
  running_.reset();
  const bool stored = end.status != sql::turn_status::failed && !end.answer.text.empty();
  const auto tokens = uint64_t{end.tokens_in} + end.tokens_out;
  kgents::turn_end last;
  last.answer = stored ? turn.answer_id : message_id{};
  last.text = std::move(turn.answer.text);
  last.created_at = stored ? created_at : "";
  last.tokens_used = static_cast<int64_t>(tokens);
  last.finish_reason = turn.finished->finish_reason;
  last.error = turn.finished->error;
  last.error_type = turn.finished->error_type;
  last.retry_after_seconds = turn.finished->retry_after_seconds;
  const auto chunks = static_cast<chunk_index>(turn.answer.chunks());
  show(end.status == sql::turn_status::failed
           ? make_error_event(turn.id, turn.epoch, chunks, std::move(last), turn.answer_id)
           : make_complete_event(turn.id, turn.epoch, chunks, std::move(last), turn.answer_id));
  services_->advanced(log_);
  if (stored) {
    ++row_.message_count;
    row_.tokens_used += tokens;
  }
  // The turn before this one has been read by all who are not far behind.
  if (log_->held_bytes() > limits::log_keep_bytes)
    log_->drop_before(ended_before_);
  ended_before_ = log_->at().end;
  last_use_ = clock().now();
  services_->turn_ended(id_.tenant, turn.key, sql::name(end.status), tokens);
  for (auto& out : std::exchange(cancelers_, {}))
    out.deliver(answer{canceled{turn.id}});
  run_next();
  close_if_removed();
  release_permit();
}

/// False when nothing runs that could still be canceled.
bool session::cancel_running() {
  if (!running_ || running_->finished)
    return false;
  auto& turn = *running_;
  finish({turn.id, turn.epoch, "canceled", "", "", "", turn.prompt_words,
          static_cast<uint32_t>(turn.answer.chunks())});
  return true;
}

void session::cancel(turn_id which, promise<canceled> out) {
  const bool any = which.value.is_nil();
  if (running_ && (any || running_->id == which)) {
    const bool ending = running_->finished.has_value();
    if (ending && running_->finished->finish_reason != "canceled") {
      out.deliver(answer{canceled{}});  // it has ended by itself
      return;
    }
    cancelers_.push_back(out);
    cancel_running();
    return;
  }
  for (auto& x : waiting_)
    if (any || x.id == which) {
      x.cancel = true;
      out.deliver(answer{canceled{x.id}});
      return;
    }
  out.deliver(answer{canceled{}});
}

}  // namespace kgents::actors
