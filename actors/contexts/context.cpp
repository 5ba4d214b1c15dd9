#include "actors/contexts/context.hpp"

#include <boost/json/serialize.hpp>
#include <caf/actor_cast.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/send.hpp>

#include "actors/contexts/base_aspects.hpp"
#include "actors/logos/arguments.hpp"
#include "actors/refusals.hpp"
#include "runtime/database.hpp"
#include "runtime/limits.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::actors {

/// Answers of the model and of the logos on their way back into the actor.
struct context_model_answer {
  uint64_t question = 0;
  std::shared_ptr<llm::collect_result> result;
};
struct context_nested_answer {
  uint64_t question = 0;
  std::shared_ptr<context_services::nested_answer> result;
};
struct context_sent_answer {
  uint64_t question = 0;
  answer<accepted> result;
};

}  // namespace kgents::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kgents::actors::context_model_answer)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kgents::actors::context_nested_answer)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kgents::actors::context_sent_answer)

namespace kgents::actors {

namespace json = boost::json;
namespace limits = runtime::limits;
using clock = std::chrono::steady_clock;

namespace {

struct idle_check {};
struct sweep_check {};
struct leave_check {};
struct unlock_key {
  std::string key;
};
/// A call that failed inside its own coroutine: ended once that is suspended for good.
struct reap_call {
  uint64_t ticket = 0;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, idle_check&) {
  return f();
}
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, sweep_check&) {
  return f();
}
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, leave_check&) {
  return f();
}
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, unlock_key& x) {
  return f(x.key);
}
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, reap_call& x) {
  return f(x.ticket);
}

/// How often calls are looked at for their deadlines; they are told to the second.
constexpr auto sweep_every = std::chrono::milliseconds{500};
/// How long calls may finish where they are when the context is to leave its node.
constexpr auto finish_before_leaving = std::chrono::milliseconds{1500};
constexpr auto leave_look_every = std::chrono::milliseconds{5};

agentese::aspect_answer answered(outcome& x) {
  using enum agentese::answer_kind;
  if (auto* out = std::get_if<0>(&x))
    return {value, json::serialize(*out)};
  if (auto* wrong = std::get_if<1>(&x))
    return {error, json::serialize(agentese::to_record(*wrong))};
  return {refused, json::serialize(agentese::to_json(std::get<2>(x)))};
}

/// Everything of an aspect that comes before its own code.
task<outcome> run_aspect(aspect_call& c) {
  const auto& node = c.entry();
  const auto afforded = node.affords(c.who().archetype, c.who().capabilities, c.aspect().name());
  if (node.spec().resolve != nullptr) {
    const auto stored = co_await node.spec().resolve(c);
    if (!stored.exists && c.asked().strict)
      co_return agentese::errors::node_not_registered(c.node(), c.similar());
    const auto& extra = stored.extra;
    if (!afforded && !c.asked().internal &&
        std::find(extra.begin(), extra.end(), c.aspect().name()) == extra.end()) {
      auto all = node.affordances(c.who().archetype, c.who().capabilities);
      all.insert(all.end(), extra.begin(), extra.end());
      co_return agentese::errors::affordance_denied(c.full_path(), c.aspect().name(),
                                                    c.who().archetype, all);
    }
    if (c.asked().check_only)
      co_return described(c, stored);
  } else if (c.asked().check_only) {
    co_return described(c, {true, {}});
  }
  co_return co_await c.aspect().spec->run(c);
}

}  // namespace

context::context(caf::actor_config& config, entity_id id,
                 std::shared_ptr<const context_services> services, lease_epoch lease)
    : caf::event_based_actor(config),
      id_{id},
      services_{std::move(services)},
      lease_{lease},
      holds_{this, services_->database, id.tenant} {}

context::~context() = default;

const char* context::name() const { return to_string(id_.kind).data(); }

caf::behavior context::make_behavior() {
  set_default_handler(caf::drop);
  last_use_ = clock::now();
  delayed_send(this, limits::passivate_after, idle_check{});
  return {
      [this](agentese::invoke_aspect& x) { return begin(std::move(x)); },
      [this](const context_model_answer& x) {
        if (auto node = asking_.extract(x.question))
          node.mapped()(std::move(*x.result));
      },
      [this](const context_nested_answer& x) {
        auto node = invoking_.extract(x.question);
        if (!node)
          return;
        node.mapped()(std::move(x.result->result));
      },
      [this](const context_sent_answer& x) {
        if (auto node = sending_.extract(x.question))
          node.mapped()(x.result);
      },
      [this](reap_call x) {
        const auto at = running_.find(x.ticket);
        if (at != running_.end() && at->second->failed)
          finish(x.ticket, std::move(*at->second->failed));
      },
      [this](const unlock_key& x) { give_lock(x.key); },
      [this](sweep_check) { sweep(); },
      [this](runtime::leave_node) { return leave(); },
      [this](runtime::stay_on_node) {
        if (leaving_)
          std::exchange(leaving_, {})->deliver(caf::make_error(caf::sec::request_timeout));
      },
      [this](leave_check) { try_to_leave(); },
      [this](idle_check) {
        const bool idle = clock::now() - last_use_ >= limits::passivate_after;
        if (idle && running_.empty() && services_->retire(id_, address()))
          quit();
        else
          delayed_send(this, limits::passivate_after, idle_check{});
      },
  };
}

void context::on_exit() {
  quitting_ = true;  // guards that die now pass their locks to nobody
  running_.clear();
  asking_.clear();
  invoking_.clear();
  sending_.clear();
  live_.clear();
}

caf::result<answer<agentese::aspect_answer>> context::begin(agentese::invoke_aspect ask) {
  last_use_ = clock::now();
  const auto fail = [&](const agentese::error& why) {
    outcome x{why};
    return answer{answered(x)};
  };
  const auto found = services_->nodes->find(ask.node);
  const auto* aspect = found.node != nullptr ? found.node->find(ask.aspect) : nullptr;
  if (aspect == nullptr)  // the node that asks has another release of the table
    return fail(agentese::errors::node_not_registered(ask.node));
  auto args = check_arguments(*aspect, ask);
  if (auto* wrong = std::get_if<1>(&args))
    return answer{answered(*wrong)};
  const auto ticket = ++next_ticket_;
  auto out = make_response_promise<answer<agentese::aspect_answer>>();
  const auto deadline = clock::now() + std::chrono::milliseconds{ask.deadline_ms};
  auto made = std::make_unique<running>(*this, ticket, std::move(ask), *found.node, *aspect,
                                        found.subpath, std::move(std::get<0>(args)), out);
  auto& x = *made;
  x.deadline = deadline;
  running_.emplace(ticket, std::move(made));
  x.work.emplace(run_aspect(x.call));
  x.work->start();
  settle(ticket);
  if (running_.contains(ticket) && !std::exchange(sweeping_, true))
    delayed_send(this, sweep_every, sweep_check{});
  return out;
}

void context::settle(uint64_t ticket) {
  const auto at = running_.find(ticket);
  if (at == running_.end() || !at->second->work->done())
    return;
  auto& call = at->second->call;
  try {
    finish(ticket, at->second->work->take());
  } catch (const std::exception& why) {
    log::error("an aspect failed", {{"path", call.full_path()},
                                    {"error", why.what()},
                                    {"trace_id", call.asked().trace_id}});
    finish(ticket, agentese::errors::internal(call.full_path()));
  }
}

void context::finish(uint64_t ticket, outcome what) {
  const auto node = running_.extract(ticket);
  if (node.empty())
    return;
  auto& x = *node.mapped();
  auto out = answered(what);
  out.tokens_in = x.call.tokens_in();
  out.tokens_out = x.call.tokens_out();
  x.out.deliver(answer{std::move(out)});
}

void context::fail(uint64_t ticket, agentese::error why) {
  running_.at(ticket)->failed = std::move(why);
  send(this, reap_call{ticket});
}

agentese::error context::refused_tokens(const refusal& why, const aspect_call& call) {
  auto out = agentese::errors::unavailable(call.full_path(), why.detail, why.retry_after_seconds);
  if (why.status == 429) {
    out.category = agentese::category::quota_exceeded;
    out.code = "TOKENS_EXHAUSTED";
    out.suggested_action = "wait for what is under way, or for the next month";
  } else if (why.status < 500) {
    out.category = agentese::category::invalid_input;
    out.code = "INVALID_ARGUMENT";
    out.retry_after.reset();
    out.suggested_action = "ask for less, or with a key that may use more at once";
  }
  out.try_ = out.suggested_action;
  return out;
}

agentese::error context::database_error(const sql::failure& why, const aspect_call& call) {
  using enum sql::failure::kind;
  constexpr std::string_view read_only_transaction = "25006";
  if (why.sqlstate == read_only_transaction && !may_write(call.aspect().spec->category))
    return agentese::errors::category_violation(call.full_path(), call.aspect().name(),
                                                to_string(call.aspect().spec->category));
  if (why.what == unknown_outcome)
    return agentese::errors::unavailable(
        call.full_path(), "The database was lost while this was being stored; look whether it was");
  const auto told = refused_by_database(why);
  return told.status == 500 ? agentese::errors::internal(call.full_path())
                            : agentese::errors::unavailable(call.full_path(), told.detail);
}

void context::submit(uint64_t ticket, sql::transaction work,
                     std::function<void(std::vector<sql::rows>&)> done) {
  auto& x = *running_.at(ticket);
  work.tenant = id_.tenant;
  if (!may_write(x.call.aspect().spec->category)) {
    // PostgreSQL is asked to refuse what the category forbids: what an aspect is called cannot
    // change what it does.
    work.statements.insert(work.statements.begin(),
                           {"SELECT set_config('transaction_read_only', 'on', true)"});
    done = [done = std::move(done)](std::vector<sql::rows>& rows) {
      rows.erase(rows.begin());
      done(rows);
    };
  } else if (!work.read_only) {
    work.fence = sql::fence{shard_of(id_), lease_};
    x.call.wrote_ = true;
  } else {
    work.announces = sql::fence{shard_of(id_), lease_};
  }
  work.deadline = std::min(x.deadline, clock::now() + limits::sql_deadline);
  request(services_->database, caf::infinite,
          runtime::sql_call{std::make_shared<sql::transaction>(std::move(work))})
      .then(
          [this, ticket, done = std::move(done)](const runtime::sql_result& r) {
            if (auto* rows = std::get_if<std::vector<sql::rows>>(r.out.get())) {
              resume(ticket, [&] { done(*rows); });
              return;
            }
            const auto& why = std::get<sql::failure>(*r.out);
            if (why.what == sql::failure::kind::fenced) {
              quit(runtime::fenced_error());  // another node owns the shard: nothing here holds
              return;
            }
            if (const auto at = running_.find(ticket); at != running_.end())
              finish(ticket, database_error(why, at->second->call));
          },
          [this, ticket](const caf::error&) {
            if (const auto at = running_.find(ticket); at != running_.end())
              finish(ticket, database_error({}, at->second->call));
          });
}

void context::ask_model(uint64_t ticket, llm::prompt ask, size_t max_bytes,
                        std::function<void(llm::collect_result)> done) {
  const usage_id id{uuid::time_ordered()};
  const auto key = running_.at(ticket)->call.by().key;
  holds_.hold(id, key, std::move(ask),
              [this, id, ticket, max_bytes, done = std::move(done)](const refusal& why,
                                                                    llm::prompt what) {
                const auto at = running_.find(ticket);
                if (at == running_.end())
                  holds_.release(id);  // its client has left, or its time is over
                else if (why.status != 0)
                  fail(ticket, refused_tokens(why, at->second->call));
                else
                  ask_held(id, ticket, std::move(what), max_bytes, done);
              });
}

void context::ask_held(usage_id id, uint64_t ticket, llm::prompt ask, size_t max_bytes,
                       std::function<void(llm::collect_result)> done) {
  const auto question = ++next_question_;
  asking_.emplace(question, [this, id, ticket, done = std::move(done)](llm::collect_result x) {
    const auto* got = std::get_if<llm::collected>(&x);
    holds_.keep(id, got == nullptr
                        ? 0
                        : uint64_t{got->end.tokens.tokens_in} + got->end.tokens.tokens_out);
    resume(ticket, [&] {
      if (got != nullptr)
        running_.at(ticket)->call.add_tokens(got->end.tokens.tokens_in, got->end.tokens.tokens_out);
      done(std::move(x));
    });
  });
  services_->ask_model(
      std::move(ask), max_bytes,
      [self = caf::actor_cast<caf::actor>(this), question](llm::collect_result x) {
        caf::anon_send(self, context_model_answer{
                                 question, std::make_shared<llm::collect_result>(std::move(x))});
      });
}

void context::invoke(uint64_t ticket, context_services::nested what,
                     std::function<void(outcome)> done) {
  const auto question = ++next_question_;
  invoking_.emplace(question, [this, ticket, done = std::move(done)](outcome x) {
    resume(ticket, [&] { done(std::move(x)); });
  });
  services_->invoke(
      std::move(what),
      [self = caf::actor_cast<caf::actor>(this), question](context_services::nested_answer x) {
        caf::anon_send(self,
                       context_nested_answer{
                           question,
                           std::make_shared<context_services::nested_answer>(std::move(x))});
      });
}

void context::send_message_to(uint64_t ticket, session_id to, send_message what,
                              std::function<void(answer<accepted>)> done) {
  const auto question = ++next_question_;
  sending_.emplace(question, [this, ticket, done = std::move(done)](answer<accepted> x) {
    resume(ticket, [&] { done(std::move(x)); });
  });
  services_->send_message_to(
      id_.tenant, to, std::move(what),
      [self = caf::actor_cast<caf::actor>(this), question](answer<accepted> x) {
        caf::anon_send(self, context_sent_answer{question, std::move(x)});
      });
}

void context::lock(uint64_t ticket, std::string key,
                   std::function<void(aspect_call::guard)> done) {
  auto& queue = locks_[key];
  queue.waiting.emplace_back(ticket, std::move(done));
  if (queue.holder == 0)
    give_lock(key);
}

/// To the first that still runs.
void context::give_lock(const std::string& key) {
  const auto at = locks_.find(key);
  auto& queue = at->second;
  queue.holder = 0;
  while (!queue.waiting.empty()) {
    auto [ticket, done] = std::move(queue.waiting.front());
    queue.waiting.pop_front();
    if (!running_.contains(ticket))
      continue;
    queue.holder = ticket;
    // Freed by whichever copy dies last, on this actor: coroutines die here only.
    aspect_call::guard held{nullptr, [this, key](void*) { unlock(key); }};
    resume(ticket, [&] { done(std::move(held)); });
    return;
  }
  locks_.erase(at);
}

/// As a message: a guard dies in the middle of whatever its coroutine does.
void context::unlock(const std::string& key) {
  if (!quitting_)
    send(this, unlock_key{key});
}

/// Calls whose time is up end where they wait: what they had not committed was not done.
void context::sweep() {
  const auto now = clock::now();
  std::vector<uint64_t> late;
  for (const auto& [ticket, x] : running_)
    if (x->deadline <= now)
      late.push_back(ticket);
  for (const auto ticket : late) {
    const auto& call = running_.at(ticket)->call;
    finish(ticket, agentese::errors::timeout(call.full_path(), std::chrono::milliseconds{
                                                                   call.asked().deadline_ms}));
  }
  sweeping_ = !running_.empty();
  if (sweeping_)
    delayed_send(this, sweep_every, sweep_check{});
}

caf::result<runtime::departed> context::leave() {
  leaving_ = make_response_promise<runtime::departed>();
  leave_by_ = clock::now() + finish_before_leaving;
  try_to_leave();
  return *leaving_;
}

/// What runs may finish, for a moment; then it is given up, and its question is asked again at the
/// new owner where that is safe.
void context::try_to_leave() {
  if (!leaving_)
    return;
  const bool quiet = running_.empty() && services_->retire(id_, address());
  if (!quiet && clock::now() < leave_by_) {
    delayed_send(this, leave_look_every, leave_check{});
    return;
  }
  leaving_->deliver(runtime::departed{});
  quit(quiet ? caf::error{} : runtime::fenced_error());
}

}  // namespace kgents::actors
