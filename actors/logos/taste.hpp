#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Taste (agentese.md section 15): how new something is, and whether that is too little, too much
/// or just right. Pure: no clock, no store.
namespace kgents::actors::taste {

/// 4·n·(1−n): 0 for what is known and for what is noise, 1 half-way.
[[nodiscard]] double wundt(double novelty) noexcept;

/// Below `low` is boring, above `high` chaotic; the bounds themselves are interesting.
struct thresholds {
  double low = 0.1;
  double high = 0.9;
  friend bool operator==(const thresholds&, const thresholds&) = default;
};

/// What the automatic curation of results goes by.
inline constexpr thresholds automatic{0.15, 0.95};

/// Each clamped to [0, 1]; a low that is not below high pushes high up.
[[nodiscard]] thresholds calibrated(thresholds present, std::optional<double> low,
                                    std::optional<double> high) noexcept;

enum class verdict : uint8_t { boring, interesting, chaotic };

[[nodiscard]] std::string_view to_string(verdict x) noexcept;
[[nodiscard]] verdict judge(double novelty, thresholds by) noexcept;

/// How far `output` is from `prior` by its form, in [0, 1]; 0.5 when there is no prior.
[[nodiscard]] double structural_surprise(const boost::json::value& output,
                                         const boost::json::value* prior);

/// `{novelty, complexity, wundt_score, verdict, is_acceptable}`.
[[nodiscard]] boost::json::object tasted(double novelty, thresholds by);

struct weights {
  double novelty = 0.4;
  double utility = 0.4;
  double surprise = 0.2;
  /// They must sum to 1, give or take a thousandth.
  [[nodiscard]] bool valid() const noexcept;
};

struct critique {
  double novelty = 0;
  double utility = 0;
  double surprise = 0;
  double overall = 0;
  std::string reasoning;
  std::vector<std::string> suggestions;
};

struct critique_request {
  const boost::json::value* artifact = nullptr;    ///< never null
  std::string_view purpose{};                      ///< empty: none
  const boost::json::value* prior_work = nullptr;  ///< one, or a list of them; null: none
  const boost::json::value* expected = nullptr;    ///< what surprise is measured against
  weights by{};
};

[[nodiscard]] critique criticise(const critique_request& ask);

/// `{novelty, utility, surprise, overall, reasoning, suggestions}`.
[[nodiscard]] boost::json::object to_json(const critique& x);

}  // namespace kgents::actors::taste
