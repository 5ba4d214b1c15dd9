#define CAF_SUITE renderings

#include "actors/contexts/time/renderings.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::actors;

namespace {

bool fits(const std::string& text, size_t width) {
  size_t line = 0;
  for (const auto c : text) {
    line = c == '\n' ? 0 : line + 1;
    if (line > width)
      return false;
  }
  return true;
}

}  // namespace

CAF_TEST(a tree has one line a segment) {
  const auto x = draw_tree({{"world.house.manifest", 3}, {"world.house.use", 1}, {"void.entropy.sip", 0}}, 80);
  CAF_CHECK_EQUAL(x,
                  "void\n"
                  "+- entropy\n"
                  "   +- sip\n"
                  "world\n"
                  "+- house\n"
                  "   +- manifest (3)\n"
                  "   +- use (1)\n");
}

CAF_TEST(a graph tells the most frequent calls first) {
  CAF_CHECK_EQUAL(draw_graph({{"a.b.c", "d.e.f", 1}, {"x.y.z", "d.e.f", 7}}, 80),
                  "x.y.z -> d.e.f (7)\na.b.c -> d.e.f\n");
}

CAF_TEST(a timeline has its bars where they were in time) {
  const auto x = draw_timeline({{"b.b.b", 5'000, 10'000, "2", "", false}, {"a.a.a", 0, 5'000, "1", "", true}}, 43);
  CAF_CHECK_EQUAL(x,
                  "a.a.a                 |==========         |\n"
                  "b.b.b                 |         xxxxxxxxxx|\n"
                  "                       10 ms\n");
}

CAF_TEST(a flame has callees under their callers) {
  const auto x = draw_flame({{"c.c.c", 20'000, 70'000, "2", "1", true},
                             {"a.a.a", 0, 100'000, "1", "gone", true},
                             {"z.z.z", 200'000, 200'000, "3", "", false}},
                            60);
  CAF_CHECK_EQUAL(x,
                  "a.a.a                          ################## 100 ms\n"
                  " c.c.c                         ######### 50 ms\n"
                  "z.z.z                          x 0 ms\n");
}

CAF_TEST(spans that name each other as parents are no endless flame) {
  CAF_CHECK_EQUAL(draw_flame({{"a.a.a", 0, 1, "1", "2", true}, {"b.b.b", 0, 1, "2", "1", true}}, 80), "");
  CAF_CHECK_NOT_EQUAL(draw_flame({{"a.a.a", 0, 1, "1", "1", true}}, 80), "");
}

CAF_TEST(nothing is wider or longer than it may be) {
  std::map<std::string, int64_t> paths;
  std::vector<call_edge> edges;
  std::vector<drawn_span> spans;
  for (int i = 0; i < 1000; ++i) {
    const auto path = "world.a_rather_long_name_of_a_house_" + std::to_string(i) + ".manifest";
    paths[path] = i;
    edges.push_back({path, path, i});
    spans.push_back({path, i, i * 1000, std::to_string(i), std::to_string(i - 1), true});
  }
  for (const size_t width : {20, 33, 80, 200}) {
    for (const auto& x : {draw_tree(paths, width), draw_graph(edges, width),
                          draw_timeline(spans, width), draw_flame(spans, width)}) {
      CAF_CHECK(fits(x, width));
      CAF_CHECK(static_cast<size_t>(std::count(x.begin(), x.end(), '\n')) <= most_lines);
    }
  }
  CAF_CHECK_EQUAL(draw_timeline({}, 80), "");
}
