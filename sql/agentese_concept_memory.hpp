#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

/// Without its content.
struct concept_memory {
  std::string id;
  uint32_t words = 0;  ///< distinct ones in the content
  double resolution = 1.0;
  double relevance = 0.5;
  double intensity = 0;  ///< of the traces that were left at the concept, as faded as they are now
};

struct concept_match {
  std::string id;
  double similarity = 0;  ///< cosine
  double resolution = 1.0;
};

struct rescaled_concepts {
  uint64_t count = 0;
  double mean_resolution = 0;  ///< afterwards; 0 when there are none
};

struct new_trace {
  uuid id;
  std::string concept_name;
  double intensity = 1.0;  ///< above 0
  std::string depositor;
  std::string metadata = "{}";  ///< JSON object
};

struct trace_gradient {
  std::string concept_name;
  double total_intensity = 0;
  uint64_t count = 0;
  std::string dominant_depositor;
};

/// Contents of self.memory that are found by likeness (migration 24). Vectors have length 1.
namespace agentese_concept_memory {

struct stored_count {
  uint64_t count = 0;
  bool exists = false;
};
[[nodiscard]] query<stored_count> room(tenant_id tenant, std::string_view id);

/// Adds or replaces; a replaced one keeps its resolution. Returns that.
[[nodiscard]] query<double> put(tenant_id tenant, std::string_view id, std::string_view content,
                                uint32_t words, const std::vector<float>& text_vector,
                                const std::optional<std::vector<float>>& embedding);

[[nodiscard]] query<std::optional<concept_memory>> get(tenant_id tenant, std::string_view id);

/// All, by id, at most `limit`.
[[nodiscard]] query<std::vector<concept_memory>> list(tenant_id tenant, size_t limit);

/// Likest first. `of_text`: by the vectors of the contents' words, else by the callers' embeddings
/// of as many dimensions.
[[nodiscard]] query<std::vector<concept_match>> like(tenant_id tenant,
                                                     const std::vector<float>& vector, bool of_text,
                                                     double threshold, size_t limit);

/// The new resolution, at most `largest_resolution`; none: there is no such concept.
[[nodiscard]] query<std::optional<double>> rescale(tenant_id tenant, std::string_view id,
                                                   double factor);
[[nodiscard]] query<rescaled_concepts> rescale_all(tenant_id tenant, double factor);
/// Each of these by its own factor.
[[nodiscard]] query<uint64_t> rescale_each(tenant_id tenant, const std::vector<std::string>& ids,
                                           const std::vector<double>& factors);

constexpr double largest_resolution = 10.0;
constexpr double least_resolution = 1e-6;

/// Drops what has all but faded away in the same transaction.
[[nodiscard]] query<nothing> deposit(tenant_id tenant, const new_trace& trace);

[[nodiscard]] query<uint64_t> trace_count(tenant_id tenant);

/// Strongest first. `about`: only concepts with this in their name, whatever the case; empty: all.
[[nodiscard]] query<std::vector<trace_gradient>> gradients(tenant_id tenant, std::string_view about,
                                                           size_t limit);

}  // namespace agentese_concept_memory

}  // namespace kgents::sql
