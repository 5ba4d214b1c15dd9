// The parser of protocol/agentese on one core. Texts differ, so that no branch predictor learns one
// path by heart.

#include <benchmark/benchmark.h>

#include <random>
#include <string>
#include <vector>

#include "protocol/agentese/composition.hpp"
#include "protocol/agentese/legacy.hpp"
#include "protocol/agentese/path.hpp"
#include "protocol/agentese/query.hpp"

namespace {

using namespace kgents::agentese;

constexpr size_t texts = 16 * 1024;

std::string name(std::mt19937_64& random, size_t least, size_t most) {
  std::string result(std::uniform_int_distribution<size_t>{least, most}(random), 'a');
  for (auto& c : result)
    c = static_cast<char>('a' + random() % 26);
  return result;
}

/// Paths as callers write them: three segments, now and then four; 23 bytes on average.
std::vector<std::string> paths() {
  std::mt19937_64 random{1};
  std::vector<std::string> result(texts);
  for (auto& each : result) {
    each = context_names[random() % context_names.size()];
    for (auto more = random() % 8 == 0 ? 3 : 2; more > 0; --more)
      each.append(1, '.').append(name(random, 4, 11));
  }
  return result;
}

/// Runs `parse` over all texts again and again; each of them counts as one item.
template <class Parse>
void over(benchmark::State& state, const std::vector<std::string>& all, Parse parse) {
  size_t i = 0;
  size_t bytes = 0;
  for (auto _ : state) {
    const auto& text = all[i++ % texts];
    benchmark::DoNotOptimize(parse(text));
    bytes += text.size();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
  state.SetBytesProcessed(static_cast<int64_t>(bytes));
}

void path_text(benchmark::State& state) {
  over(state, paths(), [](const auto& text) { return parse_path(text); });
}
BENCHMARK(path_text)->Name("parser/path");

void owned_text(benchmark::State& state) {
  over(state, paths(), [](const auto& text) { return std::get<path>(parse_path(text)).owned(); });
}
BENCHMARK(owned_text)->Name("parser/path_owned");

void wrong_text(benchmark::State& state) {
  auto all = paths();
  for (auto& each : all)
    each[each.size() - 3] = ';';
  over(state, all, [](const auto& text) { return parse_path(text); });
}
BENCHMARK(wrong_text)->Name("parser/path_refused");

void legacy_text(benchmark::State& state) {
  auto all = paths();
  for (auto& each : all)
    each += "[phase=develop][entropy=0.07]@span=a1";
  over(state, all, [](const auto& text) { return parse_legacy(text); });
}
BENCHMARK(legacy_text)->Name("parser/legacy");

void composition_text(benchmark::State& state) {
  auto all = paths();
  for (auto& each : all)
    each += " >> concept.summary.refine >> brain.engram";
  over(state, all,
       [](const auto& text) { return parse_composition(text, &alias_table::standard()); });
}
BENCHMARK(composition_text)->Name("parser/composition");

void query_text(benchmark::State& state) {
  const auto q = std::get<query>(parse_query("?*.*e*.m*t"));
  over(state, paths(), [&](const auto& text) {
    const auto [node, aspect] = split_last(text);
    return match(q, node, aspect);
  });
}
BENCHMARK(query_text)->Name("parser/query_match");

}  // namespace
