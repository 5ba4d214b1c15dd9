#pragma once

#include <boost/json/object.hpp>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sql/agentese_dreams.hpp"

/// What a dream cycle makes of what was said (agentese.md section 18.12). Pure: what it is to
/// change comes out, and the same interactions give the same dream.
namespace kgents::actors::void_nodes {

/// Axis name → -1 … 1.
using affinities = std::map<std::string, double, std::less<>>;

struct found_pattern {
  std::string text;
  double confidence = 0;  ///< 0 … 0.95
  affinities leaning;
};

/// Dominant mode, recurring words and a high share of questions.
[[nodiscard]] std::vector<found_pattern> find_patterns(
    const std::vector<sql::dream_interaction>& said);

/// A model's lines `PATTERN: text (confidence)`; what has another form is left out.
[[nodiscard]] std::vector<found_pattern> parse_suggestions(std::string_view answer);

/// seed, sapling (seen twice) or tree (five times); a flower stays one.
[[nodiscard]] std::string_view maturity(uint32_t occurrences, std::string_view before) noexcept;

/// First twelve hex digits of the MD5 of a pattern's text.
[[nodiscard]] std::string pattern_id(std::string_view text);

struct dream {
  bool enough = false;  ///< false: too little was said, and nothing is to be changed
  boost::json::object report;
  sql::dream_changes changes;
};

/// One cycle over the oldest interactions of `view`, at most as many as a cycle takes.
[[nodiscard]] dream dream_of(const sql::dream_view& view, std::vector<found_pattern> suggestions,
                             std::string_view timestamp, bool dry_run);

}  // namespace kgents::actors::void_nodes
