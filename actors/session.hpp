#pragma once

#include <caf/event_based_actor.hpp>
#include <caf/typed_response_promise.hpp>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/llm/provider.hpp"
#include "actors/persona/dialogue.hpp"
#include "actors/refusals.hpp"
#include "protocol/entity.hpp"
#include "protocol/messages.hpp"
#include "runtime/attach.hpp"
#include "runtime/database.hpp"
#include "runtime/handover.hpp"
#include "runtime/session_log.hpp"
#include "sql/messages.hpp"
#include "sql/sessions.hpp"
#include "sql/turns.hpp"

namespace kgents::actors {

/// What a session needs from its node; passed in, so that a test can put its own in place.
struct session_services {
  caf::actor database;  ///< answers runtime::sql_call
  runtime::session_logs* logs = nullptr;
  bool show_at_once = false;  ///< KGENTS_STREAM_DURABILITY=memory

  /// A log got chunks to be committed / got events that are shown.
  std::function<void(const runtime::log_ptr&)> appended;
  std::function<void(const runtime::log_ptr&)> advanced;
  /// An event of this session is durable and no new chunk: for whoever publishes them.
  std::function<void(const entity_id&, const event_ptr&)> publish = [](const entity_id&,
                                                                       const event_ptr&) {};

  /// Starts the model call of a turn, which talks back to `session`.
  std::function<caf::actor(llm::prompt ask, turn_id turn, lease_epoch epoch, caf::actor session)>
      start_turn;

  /// What a hand-off said of the session's running turn; once.
  std::function<std::optional<runtime::moving_turn>(const entity_id&)> arrived =
      [](const entity_id&) { return std::nullopt; };
  /// The model call of a turn that came with a hand-off, here or on another node; it talks to
  /// `session` from now on. Null: it is not there any more.
  std::function<caf::actor(const runtime::moving_turn&, caf::actor session)> adopt_turn;
  /// This node, for turns that move away.
  std::function<node_id()> self = [] { return node_id{}; };

  /// True when the region has forgotten the idle entity, which must quit then.
  std::function<bool(const entity_id&, const caf::actor_addr&)> retire;

  /// Held by a session while it has turns to run, which it does one at a time. Null: as many
  /// sessions of the tenant answer as its tier allows.
  /// The tier is what the sender of the message knows; empty: nobody does.
  std::function<std::shared_ptr<void>(tenant_id, std::string_view tier)> turn_permit;
  /// As many sessions of the tenant answer at once on all nodes together. PostgreSQL holds those
  /// with a monthly budget to it; the permits above are this node's, for the others and so that most
  /// refusals cost no transaction.
  std::function<uint32_t(tenant_id, std::string_view tier)> most_answering =
      [](tenant_id, std::string_view) { return 0u; };

  /// A turn ended with this status and these tokens: metrics, the tenant's month.
  std::function<void(tenant_id, api_key_id, std::string_view status, uint64_t tokens)> turn_ended;
};

/// Messages of the conversation that a prompt carries.
inline constexpr uint32_t history_lines = 20;

/// A session that shall leave its node looks again whether it may.
struct leave_check {};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, leave_check&) {
  return f();
}

/// One chat session: its turns run one after the other, its events go into its log in one order.
///
/// Everything it must not lose is in PostgreSQL before anybody hears of it; the actor itself may go
/// at any time (passivation, crash, kill -9) and the next one goes on from there, unfinished turns
/// included.
class session : public caf::event_based_actor {
public:
  /// Writes under that epoch of its shard's lease.
  session(caf::actor_config& config, entity_id id, std::shared_ptr<const session_services> services,
          lease_epoch lease = 0);

  const char* name() const override { return "session"; }
  caf::behavior make_behavior() override;
  void on_exit() override;

private:
  template <class T>
  using promise = caf::typed_response_promise<answer<T>>;

  /// A turn that is stored and not ended.
  struct turn_state {
    turn_id id;
    message_id message;
    message_id answer_id;
    lease_epoch epoch = 0;
    std::string user_text;
    std::string mode;
    std::string budget;
    api_key_id key;
    sql::chunked_text answer;  ///< what is in the log of it
    std::optional<uint64_t> most_tokens;  ///< prompt and answer together; none: no limit

    // Of the running one:
    size_t inherited = 0;  ///< chunks that an earlier activation made and this one goes on from
    caf::actor worker;     ///< the model call, if there is one
    node_id worker_node;   ///< where it runs, if not here
    bool hold_sent = false;   ///< it shall send nothing until its session has moved
    uint32_t holds_open = 0;  ///< holds that it has not answered; also of a leave that was undone
    bool reclaim = false;  ///< it is lost with its node: to be taken up when all is committed
    uint32_t credit = 0;   ///< chunks it may still send
    uint32_t prompt_words = 0;  ///< what a canceled one is charged for its prompt
    bool cancel = false;        ///< asked for before it ran
    bool taken_over = false;    ///< another activation ran it
    std::optional<turn_finished> finished;
    bool ending = false;  ///< its last transaction is under way
    bool unsure = false;  ///< an attempt to end it may have committed
    usage_id usage;
    std::chrono::steady_clock::time_point began{};
  };

  // session.cpp: life cycle and what needs no turn
  void load();
  [[nodiscard]] session_id key() const noexcept { return session_id{id_.key}; }
  void loaded(std::optional<sql::session_row> row, std::vector<sql::unfinished_turn> found);
  void not_loaded();
  void begin_log_behind_history();
  template <class T>
  caf::result<answer<T>> when_ready(std::function<void(promise<T>)> work);
  [[nodiscard]] session_view view() const;
  void update(const update_session& ask, promise<session_view> out);
  void remove(promise<session_view> out);
  void close_if_removed();
  void tick();
  void gone(refusal why);
  void fenced();
  [[nodiscard]] bool was_fenced(const sql::failure& why);
  template <class Query>
  [[nodiscard]] Query under_lease(Query query) const;
  void later(std::function<void()> work);

  // session_moves.cpp: to another node, with its running turn
  caf::result<runtime::departed> leave();
  void try_to_leave();
  [[nodiscard]] bool quiet();
  void stay();
  [[nodiscard]] bool adopt(sql::unfinished_turn& found);
  [[nodiscard]] static turn_state stored(sql::unfinished_turn& x);
  void worker_lost();
  void reclaim();

  // session_messages.cpp: stored, queued, taken over
  void receive(send_message ask, promise<accepted> out);
  void begin_next();
  void begin(const send_message& ask, promise<accepted> out);
  [[nodiscard]] sql::token_need need_of(const send_message& ask) const;
  void release_permit();
  void begun(const send_message& ask, const sql::token_need& need, promise<accepted> out,
             sql::begun_turn x);
  [[nodiscard]] bool knows(turn_id turn) const;
  void take_over(std::vector<sql::unfinished_turn> found);
  void look_again_later();
  void look_again();
  void run_next();
  void read_durable_part(lease_epoch epoch);
  void claimed(lease_epoch epoch);
  void ended_unseen();

  // session_turns.cpp: the running turn
  void run();
  void show_durable_part();
  void show(event_ptr event);
  void read_history(persona::model_request ask);
  void ask_model(const persona::model_request& ask, std::vector<sql::history_line> history);
  void add_chunks(std::vector<std::string> texts);
  void chunks_arrived(turn_chunks& x);
  void chunks_refused(bool fenced);
  void grant();
  void finish(turn_finished x);
  void end_running();
  void ended(sql::answer<sql::ended_turn> out, const sql::turn_end& end);
  void ask_whether_ended(const sql::turn_end& end);
  void show_end(const sql::turn_end& end, const std::string& created_at);
  bool cancel_running();
  void cancel(turn_id which, promise<canceled> out);

  // session_readers.cpp: where readers go on
  void place_reader(const attach_reader& ask, promise<runtime::attached> out);
  void place_held_readers();
  class page;
  void append_running(page& out, int64_t after) const;
  void append_ended(page& out, const sql::turn_row& row, int64_t after);
  [[nodiscard]] event_ptr end_event(const sql::turn_row& row, chunk_index chunks);
  void replay(const attach_reader& ask, sql::turn_seq from, promise<runtime::attached> out);

  const entity_id id_;
  const std::shared_ptr<const session_services> services_;
  const lease_epoch lease_;
  runtime::log_ptr log_;

  enum class phase : uint8_t { loading, ready, missing } phase_ = phase::loading;
  std::vector<std::function<void()>> held_;  // until loaded; bounded by the entity's permits
  sql::session_row row_;
  persona::soul_state soul_;

  // A pointer and lists: an idle session, of which there are a hundred thousand, keeps nothing for
  // turns.
  std::unique_ptr<turn_state> running_;
  std::list<turn_state> waiting_;
  std::list<std::function<void()>> beginnings_;  // messages to be stored, one at a time
  bool beginning_ = false;
  std::shared_ptr<void> permit_;  // from the first message until nothing runs or waits
  bool claiming_ = false;
  std::vector<promise<canceled>> cancelers_;         // answered when the canceled turn has ended
  std::vector<std::function<void()>> when_running_;  // readers of a turn that is being taken over
  std::vector<std::function<void()>> later_;
  bool looking_ = false;  // for turns whose storing had an unknown outcome
  refusal wrong_{503, "The session is not available. Try again.", 1, "unavailable"};
  bool removed_ = false;
  std::optional<caf::typed_response_promise<runtime::departed>> leaving_;
  std::optional<runtime::moving_turn> arrived_;
  std::vector<std::weak_ptr<const stream_event>> replayed_ends_;  // that some reader still holds
  uint32_t replays_ = 0;       // pages being read
  uint32_t passed_over_ = 0;   // turns that had ended unseen when they were to be claimed
  uint64_t ended_before_ = 0;  // log position behind the last ended turn
  std::chrono::steady_clock::time_point last_use_{};
};

/// The write is refused when another node has taken the shard.
template <class Query>
Query session::under_lease(Query query) const {
  query.work.fence = sql::fence{shard_of(id_), lease_};
  return query;
}

}  // namespace kgents::actors
