#include "actors/soul.hpp"

#include <bit>
#include <boost/json/serialize.hpp>
#include <caf/actor_cast.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/send.hpp>
#include <ctime>

#include "actors/governance_record.hpp"
#include "actors/refusals.hpp"
#include "runtime/limits.hpp"
#include "sql/usage.hpp"

namespace kgents::actors {

/// The model's answer on its way back into the actor.
struct soul_model_answer {
  uint64_t ticket = 0;
  std::shared_ptr<llm::collect_result> result;
};

}  // namespace kgents::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kgents::actors::soul_model_answer)

namespace kgents::actors {

namespace json = boost::json;
namespace limits = runtime::limits;

namespace {

struct idle_check {};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, idle_check&) {
  return f();
}

/// A whole answer is at most the largest tier's tokens; 16 bytes a token are more than any language
/// takes.
constexpr size_t max_answer_bytes = 8'000 * 16;

persona::local_time utc_now() {
  const auto now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  return {static_cast<unsigned>(parts.tm_hour), static_cast<unsigned>(parts.tm_wday)};
}

refusal refused_by_model(const llm::failure& why) {
  using enum llm::error_type;
  const auto code = std::string{llm::to_string(why.type)};
  switch (why.type) {
    case provider_timeout:
      return {504, why.message, 0, code};
    case provider_rate_limited:
    case overloaded:
      return {503, why.message, std::max(1u, why.retry_after_seconds), code};
    case internal:
      return {500, why.message, 0, code};
    default:
      return {502, why.message, 0, code};
  }
}

json::array strings(const std::vector<std::string>& all) {
  json::array out;
  for (const auto& x : all)
    out.emplace_back(x);
  return out;
}

}  // namespace

soul::soul(caf::actor_config& config, entity_id id, std::shared_ptr<const soul_services> services)
    : caf::event_based_actor(config),
      id_{id},
      services_{std::move(services)},
      holds_{this, services_->database, id.tenant} {}

caf::behavior soul::make_behavior() {
  set_default_handler(caf::drop);
  last_use_ = clock().now();
  delayed_send(this, limits::passivate_after, idle_check{});
  return {
      [this](const soul_dialogue& x) -> caf::result<answer<soul_answer>> {
        auto out = make_response_promise<answer<soul_answer>>();
        last_use_ = clock().now();
        dialogue(x, out);
        return out;
      },
      [this](const soul_governance& x) -> caf::result<answer<soul_answer>> {
        auto out = make_response_promise<answer<soul_answer>>();
        last_use_ = clock().now();
        govern(x, out);
        return out;
      },
      [this](const soul_model_answer& x) {
        if (auto node = asking_.extract(x.ticket))
          node.mapped()(std::move(*x.result));
      },
      [this](idle_check) {
        const bool idle = clock().now() - last_use_ >= limits::passivate_after;
        if (idle && asking_.empty() && services_->retire(id_, address()))
          quit();
        else
          delayed_send(this, limits::passivate_after, idle_check{});
      },
  };
}

void soul::ask_model(usage_id id, api_key_id key, persona::model_request ask, promise out,
                     model_done done) {
  const auto ticket = ++asked_;
  asking_.emplace(ticket, std::move(done));
  llm::prompt prompt;
  prompt.system = std::move(ask.system);
  prompt.messages.push_back({"user", std::move(ask.user)});
  prompt.mode = persona::name(ask.used);
  prompt.deep = ask.deep;
  prompt.temperature = ask.temperature;
  prompt.max_tokens = ask.max_tokens;
  holds_.hold(id, key, std::move(prompt),
              [this, ticket, out](const refusal& why, llm::prompt what) mutable {
                if (why.status != 0) {
                  asking_.erase(ticket);
                  out.deliver(answer<soul_answer>{why});
                  return;
                }
                services_->ask(std::move(what), max_answer_bytes,
                               [self = caf::actor_cast<caf::actor>(this),
                                ticket](llm::collect_result x) {
                                 caf::anon_send(
                                     self, soul_model_answer{ticket,
                                                             std::make_shared<llm::collect_result>(
                                                                 std::move(x))});
                               });
              });
}

void soul::dialogue(const soul_dialogue& ask, promise out) {
  persona::dialogue_request request;
  request.message = ask.text;
  request.requested = persona::parse_mode(ask.mode);
  request.budget = persona::parse_budget(ask.budget).value_or(persona::default_budget);
  request.now = utc_now();
  request.seed = std::hash<uuid>{}(id_.key) + ++asked_;
  request.single_turn = true;
  auto plan = persona::plan_reply(request, state_);

  const usage_id id{uuid::time_ordered()};
  auto finish = [this, id, key = ask.key, out](persona::reply_plan done, std::string text,
                                               const llm::usage& tokens, bool asked) mutable {
    const auto result =
        persona::finish(std::move(done), state_, std::move(text),
                        asked ? std::optional{tokens.tokens_in + tokens.tokens_out} : std::nullopt,
                        std::chrono::system_clock::now());
    json::object body{{"response", result.response},
                      {"mode", persona::name(result.used)},
                      {"eigenvectors", state_.axes.values()},
                      {"tokens_used", result.tokens_used},
                      {"referenced_preferences", strings(result.referenced_preferences)},
                      {"referenced_patterns", strings(result.referenced_patterns)}};
    const auto charged = asked ? tokens : llm::usage{0, result.tokens_used, true};
    charge(id, key, "/v1/soul/dialogue", charged, out, json::serialize(body));
  };
  if (const auto* ready = plan.ready()) {
    const sql::token_need need{ready->tokens, ready->tokens};
    holds_.hold(id, ask.key, need,
                [plan = std::move(plan), finish = std::move(finish), out](const refusal& why,
                                                                          uint64_t) mutable {
                  if (why.status != 0)
                    out.deliver(answer<soul_answer>{why});
                  else
                    finish(std::move(plan), "", {}, false);
                });
    return;
  }
  auto question = *plan.question();
  ask_model(id, ask.key, std::move(question), out,
            [this, id, plan = std::move(plan), finish = std::move(finish),
             out](llm::collect_result result) mutable {
    if (auto* wrong = std::get_if<llm::failure>(&result)) {
      holds_.release(id);
      out.deliver(answer<soul_answer>{refused_by_model(*wrong)});
      return;
    }
    auto& got = std::get<llm::collected>(result);
    finish(std::move(plan), std::move(got.text), got.end.tokens, true);
  });
}

void soul::govern(const soul_governance& ask, promise out) {
  persona::governance_request request;
  request.action = ask.action;
  request.reason = ask.reason;
  request.severity = std::bit_cast<double>(ask.severity_bits);
  request.token_id = persona::governance_token(ask.user, ask.action);

  const usage_id id{uuid::time_ordered()};
  auto finish = [this, id, request, key = ask.key, out](const persona::verdict& x,
                                                        const llm::usage& tokens) mutable {
    services_->audit(id_.tenant, persona::audit_of(request, x, std::chrono::system_clock::now()));
    const auto used = tokens.tokens_in + tokens.tokens_out;
    charge(id, key, "/v1/soul/governance", tokens, out, json::serialize(persona::http_body(x, used)),
           governance_record(key, request, x));
  };
  if (const auto danger = persona::evaluate_danger(request)) {
    finish(*danger, {});
  } else if (!services_->has_model) {
    finish(persona::evaluate_keywords(request, *state_.seed), {});
  } else {
    ask_model(id, ask.key, persona::verdict_question(request, state_.axes), out,
              [this, id, finish](llm::collect_result result) mutable {
                if (auto* got = std::get_if<llm::collected>(&result)) {
                  finish(persona::parse_verdict(got->text), got->end.tokens);
                } else {
                  holds_.release(id);
                  finish(persona::verdict_of_failure(), {});
                }
              });
  }
}

/// Writes what the answer cost, then gives it: nothing is free because the database was away, and no
/// decision is given that is not in the audit log.
void soul::charge(usage_id id, api_key_id key, std::string_view endpoint, const llm::usage& tokens,
                  promise out, std::string body, std::optional<sql::statement> record) {
  sql::usage_event call;
  call.id = usage_id{uuid::time_ordered()};
  call.type = "api_call";
  call.source = "soul";
  call.api_key = key;
  call.endpoint = std::string{endpoint};
  call.method = "POST";
  auto query = sql::usage::record(id_.tenant, call);
  const auto used = tokens.tokens_in + tokens.tokens_out;
  holds_.charged(id);
  if (used > 0) {
    sql::usage_event model = call;
    model.id = id;
    model.type = "llm_call";
    model.source = "kgent";
    model.tokens_in = tokens.tokens_in;
    model.tokens_out = tokens.tokens_out;
    query.work.statements.push_back(sql::usage::record_statement(id_.tenant, model));
  }
  if (record)
    query.work.statements.push_back(std::move(*record));
  query.work.where = sql::plane::control;
  runtime::run_query(this, services_->database, std::move(query),
                     [out, used, body = std::move(body)](auto result) mutable {
                       if (auto* wrong = std::get_if<1>(&result))
                         out.deliver(answer<soul_answer>{refused_by_database(*wrong)});
                       else
                         out.deliver(answer{soul_answer{std::move(body), used}});
                     });
}

}  // namespace kgents::actors
