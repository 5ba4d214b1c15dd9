// concept.blend: two concepts as one.

#include "actors/contexts/concept/blend.hpp"

#include <boost/json/array.hpp>

#include "actors/contexts/concept/concept_aspects.hpp"
#include "actors/contexts/concept/nodes.hpp"

namespace kgents::actors {

namespace json = boost::json;

namespace {

/// A concept that is stored has what it means as features; any other text is its own description.
task<input_space> space(aspect_call& c, std::string text) {
  const auto handle = idea::handle_of(text);
  if (!handle)
    co_return space_of(text, {});
  const auto x = co_await idea::seen(c, *handle);
  std::string about = x.definition;
  for (const auto& y : x.examples)
    about += " " + y;
  co_return space_of(x.name, about);
}

struct wanted {
  std::string a;
  std::string b;
};

/// From concept_a and concept_b, or from the two of `inputs`.
wanted wanted_of(const aspect_call& c) {
  wanted out{c.text("concept_a"), c.text("concept_b")};
  const auto* inputs = c.find("inputs");
  if (inputs == nullptr || inputs->get_array().size() != 2)
    return out;
  const auto& list = inputs->get_array();
  if (out.a.empty() && list[0].is_string())
    out.a = std::string{list[0].get_string()};
  if (out.b.empty() && list[1].is_string())
    out.b = std::string{list[1].get_string()};
  return out;
}

task<outcome> forge(aspect_call& c) {
  auto of = wanted_of(c);
  if (of.a.empty() || of.b.empty())
    co_return c.missing("concept_a and concept_b required");
  auto a = co_await space(c, of.a);
  auto b = co_await space(c, of.b);
  co_return to_json(blend_of(std::move(a), std::move(b)));
}

input_space space_in(const json::object& x, std::string_view member) {
  const auto* y = x.if_contains(member);
  if (y == nullptr)
    return {};
  if (y->is_string())
    return space_of(y->get_string(), {});
  if (!y->is_object())
    return {};
  input_space out;
  if (const auto* name = y->get_object().if_contains("name"); name != nullptr && name->is_string())
    out.name = std::string{name->get_string()};
  if (const auto* features = y->get_object().if_contains("features");
      features != nullptr && features->is_array())
    for (const auto& z : features->get_array())
      if (z.is_string() && out.features.size() < max_features)
        out.features.emplace_back(z.get_string().subview(0, 64));
  return out;
}

/// Takes a blend as `forge` answered it, or what goes into one.
task<outcome> analyze(aspect_call& c) {
  const auto* given = c.find("blend");
  if (given == nullptr) {
    auto out = co_await forge(c);
    co_return std::move(out);
  }
  auto a = space_in(given->get_object(), "input_space_a");
  auto b = space_in(given->get_object(), "input_space_b");
  if (a.features.empty() || b.features.empty())
    co_return agentese::errors::invalid_argument(
        c.full_path(), "blend", "blend must have input_space_a and input_space_b with features");
  const auto x = blend_of(std::move(a), std::move(b));
  auto out = to_json(x);
  out["shared_share"] = static_cast<double>(x.generic.size()) /
                        static_cast<double>(std::max(x.a.features.size(), x.b.features.size()));
  out["reading"] = x.alignment > 0.7   ? "nearly one concept"
                   : x.alignment > 0.3 ? "a blend with common ground"
                                       : "a blend of strangers";
  co_return std::move(out);
}

constexpr argument a_arg{.name = "concept_a", .meaning = "a concept or a text", .max_bytes = 4096};
constexpr argument b_arg{.name = "concept_b", .meaning = "another", .max_bytes = 4096};
constexpr argument inputs_arg{
    .name = "inputs", .type = argument_type::array, .meaning = "both, as a list of two"};
constexpr argument two_args[] = {a_arg, b_arg, inputs_arg};
constexpr argument analyze_args[] = {
    a_arg,
    b_arg,
    inputs_arg,
    {.name = "blend", .type = argument_type::object, .meaning = "one that forge has answered"}};
constexpr std::string_view blend_shape =
    "{input_space_a: {name: string, features: [string]}, input_space_b: {name: string,"
    " features: [string]}, generic_space: [string], blended_space: [string],"
    " emergent_features: [string], alignment_score: number}";
constexpr std::string_view two = R"({"concept_a":"house","concept_b":"boat"})";

constexpr aspect_spec aspects[] = {
    {.name = "forge",
     .category = aspect_category::generation,
     .run = forge,
     .help = "Blends two concepts.",
     .args = two_args,
     .returns = blend_shape,
     .effects = "reads:concept",
     .example = two},
    {.name = "analyze",
     .run = analyze,
     .help = "How well a blend holds together.",
     .args = analyze_args,
     .returns = blend_shape,
     .effects = "reads:concept",
     .example = two},
    {.name = "generic",
     .run = forge,
     .help = "What both have in common.",
     .args = two_args,
     .returns = blend_shape,
     .effects = "reads:concept",
     .example = two},
    {.name = "emergent",
     .run = forge,
     .help = "What neither had.",
     .args = two_args,
     .returns = blend_shape,
     .effects = "reads:concept",
     .example = two},
};
constexpr node_spec blend_node{.path = "concept.blend",
                               .description = "Two concepts as one.",
                               .aspects = aspects,
                               .common = "*"};

}  // namespace

void register_blend(registry& to) { to.add(blend_node); }

}  // namespace kgents::actors
