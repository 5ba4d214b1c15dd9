// Where a session's readers go on: in its live log, or with a page of events from PostgreSQL.

#include <algorithm>

#include "actors/session.hpp"
#include "runtime/limits.hpp"

namespace kgents::actors {

namespace limits = runtime::limits;

namespace {

kgents::turn_end end_of(const sql::turn_row& row) {
  kgents::turn_end out;
  const bool stored = row.status != sql::turn_status::failed && !row.answer.text.empty();
  out.answer = stored ? row.answer_id : message_id{};
  out.text = row.answer.text;
  out.created_at = stored ? row.ended_at.value_or(row.created_at) : "";
  out.tokens_used = static_cast<int64_t>(row.tokens_used);
  out.finish_reason = row.finish_reason.value_or("");
  out.error = row.error.value_or("");
  out.error_type = row.error_type.value_or("");
  return out;
}

/// Shown before it was durable (durability `memory`) and lost with its node: it was said anew,
/// maybe otherwise.
bool lost(const cursor& place, lease_epoch epoch, size_t inherited) {
  return place.epoch < epoch && place.index >= static_cast<int64_t>(inherited);
}

event_ptr gap_before(const cursor& place, lease_epoch epoch, size_t inherited) {
  return make_gap_event({place.turn, epoch, static_cast<int64_t>(inherited) - 1});
}

}  // namespace

/// What one reader is given at once. It may end anywhere: the reader asks again from its last event.
class session::page {
public:
  explicit page(std::vector<event_ptr>& out) : out_{out} {}

  void add(event_ptr x) {
    bytes_ += x->http_chunk().size();
    out_.push_back(std::move(x));
  }
  [[nodiscard]] bool full() const noexcept { return bytes_ >= limits::replay_bytes; }

private:
  std::vector<event_ptr>& out_;
  size_t bytes_ = 0;
};

void session::place_reader(const attach_reader& ask, promise<runtime::attached> out) {
  runtime::attached here;
  here.log = log_;
  page events{here.backlog};
  if (ask.live) {
    // A running turn is heard from its start; otherwise from now on.
    here.position = log_->at().end;
    if (running_) {
      if (const auto start = log_->first_of(running_->id))
        here.position = *start;
      else
        append_running(events, cursor::before_turn);
    }
    out.deliver(answer{std::move(here)});
    return;
  }
  if (running_ && running_->id == ask.place.turn &&
      lost(ask.place, running_->epoch, running_->inherited)) {
    here.backlog.push_back(gap_before(ask.place, running_->epoch, running_->inherited));
    out.deliver(answer{std::move(here)});
    return;
  }
  if (const auto position = log_->behind(ask.place)) {
    here.position = *position;
    out.deliver(answer{std::move(here)});
    return;
  }
  if (running_ && running_->id == ask.place.turn) {
    append_running(events, ask.place.index);
    out.deliver(answer{std::move(here)});
    return;
  }
  // Its turn waits, or is about to run: all of it will come through the log.
  for (const auto& x : waiting_)
    if (x.id == ask.place.turn) {
      if (ask.place.index > cursor::before_turn) {
        // Taken over from an activation that had shown some of it: its place is known once that is
        // in the log again.
        when_running_.push_back([this, ask, out] { place_reader(ask, out); });
        return;
      }
      here.position = log_->at().end;
      out.deliver(answer{std::move(here)});
      return;
    }
  if (ask.place.turn.value.is_nil()) {  // before the first turn of all
    replay(ask, 1, out);
    return;
  }
  auto query = sql::turns::locate(id_.tenant, key(), ask.place.turn);
  runtime::run_query(
      this, services_->database, std::move(query), [this, ask, out](auto result) mutable {
        auto* place = std::get_if<0>(&result);
        if (place == nullptr)
          out.deliver(answer<runtime::attached>{refused_by_database(std::get<1>(result))});
        else if (!*place)
          out.deliver(answer<runtime::attached>{refusal{404, "Session not found", 0, ""}});
        else
          replay(ask, (*place)->seq, out);
      });
}

/// Readers whose turn was to be run: it runs, or was dropped.
void session::place_held_readers() {
  for (auto& work : std::exchange(when_running_, {}))
    work();
}

/// What the log holds no more of the running turn, behind `after`: all of it has been shown.
void session::append_running(page& out, int64_t after) const {
  const auto& turn = *running_;
  const auto until = log_->held_from(turn.id).value_or(0);
  if (after < cursor::turn_event)
    out.add(make_turn_event(turn.id, turn.epoch, turn.message, turn.mode));
  for (int64_t i = std::max<int64_t>(after + 1, 0); i < until && !out.full(); ++i)
    out.add(make_chunk_event(turn.id, turn.epoch, static_cast<chunk_index>(i),
                             std::string{turn.answer.chunk(static_cast<chunk_index>(i))}));
}

/// The events of an ended turn behind `after`, as they were when it was live.
void session::append_ended(page& out, const sql::turn_row& row, int64_t after) {
  if (after < cursor::turn_event)
    out.add(make_turn_event(row.id, row.epoch, row.message, row.mode));
  const auto chunks = static_cast<chunk_index>(row.answer.chunks());
  for (int64_t i = std::max<int64_t>(after + 1, 0); i < int64_t{chunks} && !out.full(); ++i)
    out.add(make_chunk_event(row.id, row.epoch, static_cast<chunk_index>(i),
                             std::string{row.answer.chunk(static_cast<chunk_index>(i))}));
  if (after < int64_t{chunks} && !out.full())
    out.add(end_event(row, chunks));
}

/// The last event of an ended turn. It holds the whole text: readers that are as far share it.
event_ptr session::end_event(const sql::turn_row& row, chunk_index chunks) {
  std::erase_if(replayed_ends_, [](const auto& x) { return x.expired(); });
  for (const auto& x : replayed_ends_)
    if (auto held = x.lock(); held != nullptr && held->place().turn == row.id)
      return held;
  auto made = row.status == sql::turn_status::failed
                  ? make_error_event(row.id, row.epoch, chunks, end_of(row))
                  : make_complete_event(row.id, row.epoch, chunks, end_of(row));
  replayed_ends_.push_back(made);
  return made;
}

void session::replay(const attach_reader& ask, sql::turn_seq from, promise<runtime::attached> out) {
  ++replays_;
  auto query = sql::turns::replay(id_.tenant, key(), from - 1, limits::replay_turns,
                                  limits::replay_bytes);
  runtime::run_query(
      this, services_->database, std::move(query),
      [this, ask, from, out, passed = passed_over_, end = log_->at().end](auto result) mutable {
        --replays_;
        auto* rows = std::get_if<0>(&result);
        if (rows == nullptr) {
          out.deliver(answer<runtime::attached>{refused_by_database(std::get<1>(result))});
          return;
        }
        if (passed != passed_over_) {
          replay(ask, from, out);  // the page may show a turn as unfinished that was passed over
          return;
        }
        runtime::attached here;
        here.log = log_;
        // What is in the log and not in these rows began after the page was read: nothing of it is
        // skipped.
        const auto base = log_->at().base;
        here.position = base;
        page events{here.backlog};
        for (const auto& row : *rows) {
          const bool first = row.id == ask.place.turn;
          if (ask.this_turn && !first)
            break;
          if (const auto held = first ? log_->behind(ask.place) : log_->first_of(row.id)) {
            here.position = *held;  // from here on the log has it all
            break;
          }
          if (!sql::ended(row.status)) {
            // About to run here: it will come through the log. Or running, and its beginning is in
            // the log no more.
            if (running_ && running_->id == row.id && log_->held_from(row.id) > cursor::turn_event)
              append_running(events, first ? ask.place.index : cursor::before_turn);
            break;
          }
          if (first && lost(ask.place, row.epoch, row.inherited)) {
            here.backlog.push_back(gap_before(ask.place, row.epoch, row.inherited));
            break;
          }
          append_ended(events, row, first ? ask.place.index : cursor::before_turn);
          if (events.full())
            break;
        }
        if (here.backlog.empty() && here.position == base && base > end) {
          replay(ask, from, out);  // the log has passed by what followed the page
          return;
        }
        if (here.backlog.empty() && here.position == base && !ask.this_turn && !rows->empty() &&
            rows->back().answer.text.size() >= limits::replay_bytes) {
          replay(ask, rows->back().seq + 1, out);  // the page had room for the reader's turn alone
          return;
        }
        out.deliver(answer{std::move(here)});
      });
}

}  // namespace kgents::actors
