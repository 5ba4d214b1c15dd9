#include "actors/contexts/generate.hpp"

#include "actors/persona/text.hpp"

namespace kgents::actors {

task<std::optional<std::string>> generated(aspect_call& c, writing_task what) {
  if (!c.has_model())
    co_return std::nullopt;
  constexpr size_t bytes_per_token = 16;  // more than any language takes
  llm::prompt ask;
  ask.system = std::move(what.system);
  ask.messages.push_back({"user", std::move(what.user)});
  ask.temperature = what.temperature;
  ask.max_tokens = what.max_tokens;
  const auto most = what.max_tokens * bytes_per_token;
  auto asking = c.model(std::move(ask), most);
  const auto got = co_await asking;
  const auto* answer = std::get_if<llm::collected>(&got);
  if (answer == nullptr)
    co_return std::nullopt;
  const auto text = persona::trimmed(answer->text);
  if (text.empty())
    co_return std::nullopt;
  co_return std::optional<std::string>{text};
}

}  // namespace kgents::actors
