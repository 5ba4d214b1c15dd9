#pragma once

#include <boost/json/value.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace kgents::actors::void_nodes {

/// What a solution must be like (`ensure`, agentese.md section 8.4): something that can be checked,
/// whoever made the solution. Texts are compared without regard to the case of ASCII letters.
struct contract {
  std::vector<std::string> contains;
  std::vector<std::string> excludes;
  std::string starts_with;
  std::string ends_with;
  size_t min_length = 0;  ///< in code points
  std::optional<size_t> max_length;

  [[nodiscard]] bool empty() const noexcept {
    return contains.empty() && excludes.empty() && starts_with.empty() && ends_with.empty() &&
           min_length == 0 && !max_length;
  }
};

/// The most texts a contract may ask for or forbid.
inline constexpr size_t contract_most_texts = 16;

/// A text: it must be contained. An object: any of `contains` and `excludes` (a text or a list of
/// them), `starts_with`, `ends_with`, `min_length`, `max_length`. Otherwise what is wrong with it.
[[nodiscard]] std::variant<contract, std::string> parse_contract(const boost::json::value& x);

struct contract_check {
  std::string check;  ///< "contains 'tea'"
  bool passed = false;
};

/// One entry for each thing asked for, in the order of the members above.
[[nodiscard]] std::vector<contract_check> check_contract(const contract& x, std::string_view text);

[[nodiscard]] bool satisfies(const contract& x, std::string_view text);

/// As a sentence for a model: empty when nothing is asked for.
[[nodiscard]] std::string spoken_contract(const contract& x);

}  // namespace kgents::actors::void_nodes
