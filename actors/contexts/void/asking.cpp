#include "actors/contexts/void/asking.hpp"

#include "actors/persona/text.hpp"

namespace kgents::actors::void_nodes {

task<std::optional<std::string>> ask_briefly(aspect_call& c, short_question what) {
  if (!c.has_model())
    co_return std::nullopt;
  llm::prompt ask;
  ask.system = std::move(what.system);
  ask.messages.push_back({"user", std::move(what.user)});
  ask.temperature = what.temperature;
  ask.max_tokens = what.max_tokens;
  constexpr size_t most_bytes = 16 * 1024;
  const auto got = co_await c.model(std::move(ask), most_bytes);
  const auto* answer = std::get_if<llm::collected>(&got);
  if (answer == nullptr)
    co_return std::nullopt;
  std::string text{persona::trimmed(answer->text)};
  if (text.empty())
    co_return std::nullopt;
  co_return text;
}

}  // namespace kgents::actors::void_nodes
