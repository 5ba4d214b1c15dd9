// A session's messages: stored, queued, and taken over from an activation that is gone; the running
// turn is in session_turns.cpp.

#include <algorithm>

#include "actors/session.hpp"
#include "actors/token_room.hpp"
#include "runtime/limits.hpp"

namespace kgents::actors {

namespace limits = runtime::limits;

namespace {

refusal crowded() {
  return {429, "Too many answers are being made for this tenant. Try again shortly.", 1,
          "concurrency"};
}

}  // namespace

void session::receive(send_message ask, promise<accepted> out) {
  // A repeated request is answered by PostgreSQL: who asks again is owed the answer of before the
  // closing.
  if (row_.status == "closed" && ask.idempotency_key.empty()) {
    out.deliver(answer<accepted>{refusal{409, "Session is closed", 0, "session_closed"}});
    return;
  }
  beginnings_.push_back([this, ask = std::move(ask), out] { begin(ask, out); });
  begin_next();
}

/// One message is stored at a time: PostgreSQL would serialise them on the session's row anyway,
/// and so their order here is their order there.
void session::begin_next() {
  if (beginning_ || beginnings_.empty())
    return;
  beginning_ = true;
  auto work = std::move(beginnings_.front());
  beginnings_.pop_front();
  work();
}

void session::begin(const send_message& ask, promise<accepted> out) {
  if (looking_) {
    // One before it may be stored: its turn comes first, and this one is not begun beside it.
    out.deliver(answer<accepted>{
        refusal{503, "The database is out of reach. Try again shortly.", 1, "unavailable"}});
    beginning_ = false;
    begin_next();
    return;
  }
  if (permit_ == nullptr)
    permit_ = services_->turn_permit(id_.tenant, ask.tier);
  if (permit_ == nullptr) {
    out.deliver(answer<accepted>{crowded()});
    beginning_ = false;
    begin_next();
    return;
  }
  sql::turn_start start;
  start.turn = ask.turn.value.is_nil() ? turn_id{uuid::time_ordered()} : ask.turn;
  start.session = key();
  start.message = message_id{uuid::time_ordered()};
  start.answer = message_id{uuid::time_ordered()};
  start.content = ask.text;
  if (!ask.mode.empty())
    start.mode = ask.mode;
  start.budget = ask.budget;
  start.cancel_on_disconnect = ask.cancel_on_disconnect;
  if (!ask.key.value.is_nil())
    start.api_key = ask.key;
  if (!ask.idempotency_key.empty()) {
    start.idempotency_key = ask.idempotency_key;
    start.request_hash = ask.request_hash;
  }
  start.usage = usage_id{uuid::time_ordered()};
  start.most_waiting = limits::waiting_turns;
  start.busy = ask.if_busy == when_busy::reject ? sql::if_busy::reject : sql::if_busy::queue;
  start.tokens = need_of(ask);
  start.history = history_lines;
  start.most_answering = services_->most_answering(id_.tenant, ask.tier);
  auto query = under_lease(sql::turns::begin(id_.tenant, start));
  runtime::run_query(this, services_->database, std::move(query),
                     [this, ask, need = start.tokens, out](auto result) mutable {
                       beginning_ = false;
                       if (auto* x = std::get_if<0>(&result)) {
                         begun(ask, need, out, std::move(*x));
                       } else {
                         const auto& why = std::get<1>(result);
                         if (was_fenced(why))
                           return;
                         // It may be stored although nobody will hear of it: then its turn runs,
                         // and is there when the client looks.
                         if (why.what == sql::failure::kind::unknown_outcome ||
                             why.what == sql::failure::kind::timeout)
                           look_again_later();
                         out.deliver(answer<accepted>{refused_by_database(why)});
                       }
                       begin_next();
                       release_permit();
                     });
}

void session::release_permit() {
  if (!running_ && !claiming_ && waiting_.empty() && !beginning_)
    permit_.reset();
}

/// Of the prompt without the conversation so far, which PostgreSQL adds.
sql::token_need session::need_of(const send_message& ask) const {
  const auto budget = persona::parse_budget(ask.budget).value_or(persona::budget_tier::dormant);
  const auto mode = persona::parse_mode(ask.mode).value_or(soul_.active);
  const auto system = persona::system_prompt(mode, budget, soul_.axes, *soul_.seed);
  return actors::need_of(system, ask.text, budget);
}

void session::begun(const send_message& ask, const sql::token_need& need, promise<accepted> out,
                    sql::begun_turn x) {
  using kind = sql::begun_turn::kind;
  const auto refuse = [&](refusal why) { out.deliver(answer<accepted>{std::move(why)}); };
  switch (x.what) {
    case kind::missing:
      return refuse({404, "Session not found", 0, ""});
    case kind::closed:
      return refuse({409, "Session is closed", 0, "session_closed"});
    case kind::mismatch:
      return refuse(
          {422, "Idempotency-Key was used before with another request", 0, "idempotency_mismatch"});
    case kind::busy:
      return refuse({409, "Session is busy", 0, "session_busy"});
    case kind::full:
      return refuse({429, "Session has too many waiting messages. Try again when it has answered.",
                     1, "session_busy"});
    case kind::crowded:
      return refuse(crowded());
    case kind::exhausted:
      return refuse(refused_by_budget(x.budget, need));
    case kind::oversized:
      return refuse(refused_as_oversized(x.budget, need));
    case kind::joined:
      out.deliver(answer{accepted{x.turn, x.message, x.epoch, true}});
      // Stored for an activation that is gone, after this one had read what is unfinished.
      if (!sql::ended(x.status) && !knows(x.turn) && !looking_)
        look_again();
      return;
    case kind::started:
    case kind::queued:
      break;
  }
  if (auto mode = persona::parse_mode(ask.mode))
    soul_.active = *mode;
  ++row_.message_count;
  turn_state turn;
  turn.id = x.turn;
  turn.message = x.message;
  turn.answer_id = x.answer;
  turn.epoch = x.epoch;
  turn.user_text = ask.text;
  turn.mode = x.mode;
  turn.budget = ask.budget;
  turn.key = ask.key;
  turn.most_tokens = x.most_tokens;
  out.deliver(answer{accepted{x.turn, x.message, x.epoch, false}});
  // Not before it is stored: a request that is refused, or repeated by its key, interrupts nothing.
  if (ask.if_busy == when_busy::interrupt)
    cancel_running();
  const bool idle = !running_ && waiting_.empty() && !claiming_;
  if (x.what == kind::queued && idle) {
    // Behind one that nobody here knows: stored late, for an activation that is gone.
    look_again();
  } else if (x.what == kind::started && idle) {
    running_ = std::make_unique<turn_state>(std::move(turn));
    run();
  } else {
    waiting_.push_back(std::move(turn));
    run_next();
  }
}

session::turn_state session::stored(sql::unfinished_turn& x) {
  turn_state out;
  out.id = x.id;
  out.message = x.message;
  out.answer_id = x.answer_id;
  out.epoch = x.epoch;
  out.user_text = std::move(x.content);
  out.mode = std::move(x.mode);
  out.budget = std::move(x.budget);
  out.key = x.api_key.value_or(api_key_id{});
  out.answer = std::move(x.answer);
  out.most_tokens = x.most_tokens;
  out.taken_over = x.status == sql::turn_status::running;
  return out;
}

bool session::knows(turn_id turn) const {
  const auto same = [&](const turn_state& x) { return x.id == turn; };
  return (running_ && same(*running_)) || std::any_of(waiting_.begin(), waiting_.end(), same);
}

/// Turns that are stored and that nobody here works on: after an activation, or when the outcome of
/// storing one is unknown.
void session::take_over(std::vector<sql::unfinished_turn> found) {
  for (auto& x : found)
    if (!knows(x.id) && !adopt(x))
      waiting_.push_back(stored(x));
  if (permit_ == nullptr && (running_ || !waiting_.empty()))
    permit_ = services_->turn_permit(id_.tenant, {});  // counted if it can be; it runs in any case
  run_next();
}

void session::look_again_later() {
  looking_ = true;
  later([this] { look_again(); });
}

void session::look_again() {
  looking_ = true;
  auto query = sql::turns::unfinished_of(id_.tenant, key());
  runtime::run_query(this, services_->database, std::move(query), [this](auto out) {
    auto* found = std::get_if<0>(&out);
    if (found == nullptr) {
      look_again_later();
      return;
    }
    looking_ = false;
    take_over(std::move(*found));
  });
}

void session::run_next() {
  // A canceled one only ends: that is done before the session leaves, since nobody else knows of
  // it.
  if (running_ || claiming_ || waiting_.empty() || (leaving_ && !waiting_.front().cancel))
    return;
  claiming_ = true;
  auto query = under_lease(sql::turns::claim(id_.tenant, waiting_.front().id));
  runtime::run_query(this, services_->database, std::move(query), [this](auto out) {
    auto* epoch = std::get_if<0>(&out);
    if (epoch == nullptr) {
      claiming_ = false;
      if (!was_fenced(std::get<1>(out)))
        later([this] { run_next(); });
    } else if (!*epoch) {
      ended_unseen();
    } else if (waiting_.front().taken_over) {
      read_durable_part(**epoch);
    } else {
      claimed(**epoch);
    }
  });
}

/// What its last owner had under way may have been committed until the claim: now nothing more
/// comes, and what is there is what we go on from.
void session::read_durable_part(lease_epoch epoch) {
  auto query = sql::turns::unfinished_of(id_.tenant, key());
  runtime::run_query(this, services_->database, std::move(query), [this, epoch](auto out) {
    auto* found = std::get_if<0>(&out);
    if (found == nullptr) {
      later([this, epoch] { read_durable_part(epoch); });
      return;
    }
    for (auto& x : *found)
      if (x.id == waiting_.front().id)
        waiting_.front().answer = std::move(x.answer);
    claimed(epoch);
  });
}

void session::claimed(lease_epoch epoch) {
  claiming_ = false;
  running_ = std::make_unique<turn_state>(std::move(waiting_.front()));
  running_->epoch = epoch;
  waiting_.pop_front();
  run();
  release_permit();
}

/// The turn that was to be claimed has ended: an activation that is gone had that under way. Its
/// end was not shown here, so every reader finds its place anew, in PostgreSQL, and what the log
/// holds from now on follows that turn.
void session::ended_unseen() {
  auto query = sql::sessions::get(id_.tenant, key());
  runtime::run_query(this, services_->database, std::move(query), [this](auto out) {
    auto* row = std::get_if<0>(&out);
    if (row == nullptr) {
      later([this] { ended_unseen(); });
      return;
    }
    if (*row)
      row_.last_ended = (*row)->last_ended;
    claiming_ = false;
    waiting_.pop_front();
    ++passed_over_;
    if (log_->begin_anew(lease_))
      services_->advanced(log_);
    begin_log_behind_history();
    place_held_readers();
    run_next();
    close_if_removed();
    release_permit();
  });
}

}  // namespace kgents::actors
