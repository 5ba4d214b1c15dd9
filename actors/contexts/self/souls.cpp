#include "actors/contexts/self/souls.hpp"

#include <ctime>

#include "actors/contexts/self/limits.hpp"
#include "actors/contexts/self/self_store.hpp"

namespace kgents::actors::self_soul {

namespace json = boost::json;

namespace {

/// A whole answer is at most the largest tier's tokens; 16 bytes a token are more than any language
/// takes.
constexpr size_t most_answer_bytes = 8'000 * 16;

persona::local_time utc_now() {
  const auto now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  return {static_cast<unsigned>(parts.tm_hour), static_cast<unsigned>(parts.tm_wday)};
}

json::array texts(const std::vector<std::string>& all) {
  json::array out;
  for (const auto& x : all)
    out.emplace_back(x);
  return out;
}

}  // namespace

souls::souls(size_t most) : most_{most > 0 ? most : self_limits::live_souls} {}

souls::ptr souls::find(const std::string& who) {
  const auto at = all_.find(who);
  if (at == all_.end())
    return nullptr;
  used_.splice(used_.begin(), used_, at->second.place);
  return at->second.soul;
}

void souls::put(const std::string& who, ptr soul) {
  if (const auto at = all_.find(who); at != all_.end()) {
    at->second.soul = std::move(soul);
    return;
  }
  used_.push_front(who);
  all_.emplace(who, entry{std::move(soul), used_.begin()});
  if (all_.size() > most_) {
    all_.erase(used_.back());
    used_.pop_back();
  }
}

std::string who_of(const aspect_call& c) {
  return c.by().user.empty() ? "key:" + c.by().key.text() : c.by().user.substr(0, 200);
}

std::string stored_name(const std::string& who) { return "soul/" + who; }

task<souls::ptr> soul_of(aspect_call& c) {
  const auto who = who_of(c);
  if (auto there = c.live<souls>().find(who))
    co_return std::move(there);
  const auto stored = co_await self_store::load(c, stored_name(who));
  // Another call may have made it in the meantime.
  if (auto there = c.live<souls>().find(who))
    co_return std::move(there);
  auto made = std::make_shared<persona::soul_state>();
  if (const auto* x = stored.if_object())
    if (const auto* name = x->if_contains("mode"); name != nullptr && name->is_string())
      made->active = persona::parse_mode(name->get_string()).value_or(persona::default_mode);
  c.live<souls>().put(who, made);
  co_return std::move(made);
}

agentese::error failed(const aspect_call& c, const llm::failure& why) {
  using enum llm::error_type;
  if (why.type == provider_timeout) {
    auto out = agentese::errors::timeout(c.full_path(), std::chrono::seconds{0});
    out.message = why.message;
    return out;
  }
  if (why.type == internal)
    return agentese::errors::internal(c.full_path());
  return agentese::errors::unavailable(c.full_path(), why.message,
                                       std::max(1u, why.retry_after_seconds));
}

task<said> say(aspect_call& c, std::string message, std::optional<persona::mode> mode,
               surroundings around) {
  const auto soul = co_await soul_of(c);
  persona::dialogue_request request;
  request.message = message;
  request.requested = mode;
  request.budget = persona::budgets_of(c.by().tier).usable_default();
  request.now = utc_now();
  request.seed = c.seed();
  request.single_turn = around.single_turn;
  auto plan = persona::plan_reply(request, *soul);
  std::string text;
  std::optional<uint32_t> tokens;
  if (auto* question = std::get_if<persona::model_request>(&plan.next)) {
    llm::prompt prompt;
    prompt.system = std::move(question->system);
    prompt.messages = std::move(around.before);
    prompt.messages.push_back({"user", question->user + around.notes});
    prompt.mode = persona::name(question->used);
    prompt.deep = question->deep;
    prompt.temperature = question->temperature;
    prompt.max_tokens = question->max_tokens;
    auto got = co_await c.model(std::move(prompt), most_answer_bytes);
    if (const auto* wrong = std::get_if<llm::failure>(&got))
      co_return failed(c, *wrong);
    auto& answer = std::get<llm::collected>(got);
    tokens = answer.end.tokens.tokens_in + answer.end.tokens.tokens_out;
    text = std::move(answer.text);
  }
  const bool asked = tokens.has_value();
  auto result = persona::finish(std::move(plan), *soul, std::move(text), tokens,
                                std::chrono::system_clock::now());
  if (!asked)
    c.add_tokens(0, result.tokens_used);
  co_return std::move(result);
}

json::object shown(const persona::dialogue_result& x) {
  return {{"response", x.response},
          {"mode", persona::name(x.used)},
          {"budget_tier", persona::name(x.tier)},
          {"tokens_used", x.tokens_used},
          {"referenced_preferences", texts(x.referenced_preferences)},
          {"referenced_patterns", texts(x.referenced_patterns)},
          {"was_template", x.was_template}};
}

}  // namespace kgents::actors::self_soul
