#pragma once

#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "actors/contexts/call.hpp"
#include "actors/persona/dialogue.hpp"

/// What the aspects of self.soul share.
namespace kgents::actors::self_soul {

/// The souls of a tenant's users that were used last: modes and counters, which are lost with the
/// actor, but for a mode that was set on purpose.
class souls {
public:
  using ptr = std::shared_ptr<persona::soul_state>;
  explicit souls(size_t most = 0);

  /// Null: not in memory.
  [[nodiscard]] ptr find(const std::string& who);
  void put(const std::string& who, ptr soul);
  [[nodiscard]] size_t size() const noexcept { return all_.size(); }

private:
  struct entry {
    ptr soul;
    std::list<std::string>::iterator place;
  };
  size_t most_;
  std::list<std::string> used_;  // newest first
  std::unordered_map<std::string, entry> all_;
};

/// The user, or the key of a tenant that has none.
[[nodiscard]] std::string who_of(const aspect_call& c);

/// Under which the soul's mode is kept.
[[nodiscard]] std::string stored_name(const std::string& who);

[[nodiscard]] task<souls::ptr> soul_of(aspect_call& c);

/// What is said to the model beyond the message itself.
struct surroundings {
  std::vector<llm::chat_message> before;  ///< oldest first
  std::string notes;  ///< goes behind the message; each line ends with a bracket
  bool single_turn = true;
};

/// One turn of dialogue: decides, asks the model where needed, counts. An error: the model failed.
using said = std::variant<persona::dialogue_result, agentese::error>;
[[nodiscard]] task<said> say(aspect_call& c, std::string message, std::optional<persona::mode> mode,
                             surroundings around);

/// `{response, mode, tokens_used, was_template, budget_tier, referenced_…}`.
[[nodiscard]] boost::json::object shown(const persona::dialogue_result& x);

/// The model did not answer.
[[nodiscard]] agentese::error failed(const aspect_call& c, const llm::failure& why);

// soul_chat.cpp
task<outcome> chat(aspect_call& c);

}  // namespace kgents::actors::self_soul
