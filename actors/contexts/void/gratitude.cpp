// void.gratitude: thanks, and the tithe that lets the pool grow again.

#include <array>

#include "actors/contexts/void/nodes.hpp"
#include "actors/contexts/void/pool.hpp"
#include "actors/contexts/words.hpp"
#include "actors/persona/random.hpp"
#include "actors/persona/text.hpp"

namespace kgents::actors::void_nodes {

namespace json = boost::json;

namespace {

/// The seven principles (agentese.md section 18.13), each with what shows it in a text.
struct principle {
  std::string_view name;
  std::string_view signs;
  std::string_view saying;
};
constexpr std::array<principle, 7> principles{{
    {"tasteful", "design beauty elegant simple clear craft style", "It serves what it is for."},
    {"curated", "choice chosen select edit remove less focus", "What was left out shows."},
    {"ethical", "honest fair care truth privacy consent trust", "It treats people as ends."},
    {"joy-inducing", "joy play fun laugh delight surprise smile", "It brought some joy."},
    {"composable", "part join build connect pipe module share", "Others can build on it."},
    {"heterarchical", "peer team together help lead friend", "Nobody had to be above."},
    {"generative", "new create grow learn idea teach write", "More will come of it."},
}};

constexpr std::array<std::string_view, 4> openings{"Thank you, ", "With gratitude to ",
                                                   "This is owed to ", "Seen and thanked: "};

/// The principle whose signs the text has most of; without any, one that the text itself picks.
const principle& principle_of(const std::string& what) {
  const principle* best = nullptr;
  double most = 0;
  for (const auto& x : principles)
    if (const auto n = words::overlap(what, x.signs); n > most) {
      most = n;
      best = &x;
    }
  return best != nullptr ? *best : persona::random_choice{persona::hash_of(what)}.pick(principles);
}

task<outcome> thank(aspect_call& c) {
  const auto target = c.text("target");
  std::string text{persona::random_choice{c.seed()}.pick(openings)};
  text += persona::quotable(target, 200) + ".";
  co_return json::object{{"gratitude", text}, {"target", target}, {"status", "acknowledged"}};
}

task<outcome> acknowledge(aspect_call& c) {
  const auto what = c.text("what");
  const auto& found = principle_of(what);
  auto text = "Acknowledged: " + persona::quotable(what, 200) + ". " + std::string{found.saying};
  co_return json::object{
      {"acknowledgment", std::move(text)}, {"what", what}, {"principle", found.name}};
}

constexpr argument thank_args[] = {
    {.name = "target", .default_json = R"("the void")", .meaning = "who is thanked"}};
constexpr argument acknowledge_args[] = {
    {.name = "what", .required = true, .meaning = "what was done or given"}};

constexpr aspect_spec aspects[] = {
    {.name = "tithe",
     .category = aspect_category::entropy,
     .run = tithe,
     .help = "Gives thanks; the pool grows by 0.1, up to its cap.",
     .returns = tithe_shape,
     .effects = "earns:entropy 0.1"},
    {.name = "thank",
     .category = aspect_category::entropy,
     .run = thank,
     .help = "Thanks somebody or something.",
     .args = thank_args,
     .returns = "{gratitude: string, target: string, status: 'acknowledged'}"},
    {.name = "acknowledge",
     .category = aspect_category::entropy,
     .run = acknowledge,
     .help = "Names what was done, and the principle it shows.",
     .args = acknowledge_args,
     .returns = "{acknowledgment: string, what: string, principle: string} | {error: string}",
     .example = R"({"what": "a clear design"})"},
};

}  // namespace

void register_gratitude(registry& to) {
  static constexpr node_spec spec{
      .path = "void.gratitude",
      .description = "Thanks: what lets the pool of entropy grow again.",
      .aspects = aspects,
      .common = "*"};
  to.add(spec);
}

}  // namespace kgents::actors::void_nodes
