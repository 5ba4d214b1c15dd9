#define CAF_SUITE chat_window

#include "actors/contexts/self/chat_window.hpp"

#include <caf/test/dsl.hpp>
#include <cmath>

using namespace kgents::actors::self_soul;
using kgents::sql::chat_line;

namespace {

std::vector<chat_line> conversation(uint64_t turns, size_t bytes) {
  std::vector<chat_line> out;
  for (uint64_t i = 1; i <= turns; ++i) {
    out.push_back({i, "user", std::string(bytes, 'u')});
    out.push_back({i, "assistant", std::string(bytes, 'a')});
  }
  return out;
}

}  // namespace

CAF_TEST(a short conversation is in the window as a whole) {
  const auto x = window_of(conversation(3, 400), 100);
  CAF_CHECK_EQUAL(x.first, 0u);
  CAF_CHECK_EQUAL(x.tokens, 600u);
  CAF_CHECK_EQUAL(x.left_upto, 0u);
}

CAF_TEST(the oldest turns leave a full window and none is torn apart) {
  // 2,000 tokens a turn: with 1,000 reserved seven fit.
  const auto lines = conversation(10, 4'000);
  const auto x = window_of(lines, 1'000);
  CAF_CHECK_EQUAL(x.tokens, 14'000u);
  CAF_CHECK_EQUAL(x.left_upto, 3u);
  CAF_CHECK_EQUAL(lines[x.first].turn, 4u);
  CAF_CHECK_EQUAL(lines[x.first].role, "user");
}

CAF_TEST(a line that is too long leaves nothing in the window) {
  const auto lines = conversation(1, 4 * 17'000);
  const auto x = window_of(lines, 0);
  CAF_CHECK_EQUAL(x.first, 2u);
  CAF_CHECK_EQUAL(x.left_upto, 1u);
  CAF_CHECK_EQUAL(window_of({}, 0).first, 0u);
}

CAF_TEST(a summary grows by what leaves and forgets its beginning) {
  const std::vector<chat_line> leaving{{1, "user", "I sail.\nOften."}, {1, "assistant", "Where?"}};
  CAF_CHECK_EQUAL(summarised("", leaving), "They: I sail. Often.\nI: Where?");
  std::string text;
  for (int i = 0; i < 60; ++i)
    text = summarised(text, conversation(1, 200));
  CAF_CHECK(text.size() <= summary_bytes);
  CAF_CHECK(text.size() > summary_bytes / 2);
  CAF_CHECK(summarised(text + "\nlast", {}).ends_with("last"));
}

CAF_TEST(entropy is used up turn by turn) {
  CAF_CHECK_EQUAL(entropy_after(0), 1.0);
  CAF_CHECK(std::abs(entropy_after(1) - 0.98) < 1e-9);
  CAF_CHECK(std::abs(entropy_after(50)) < 1e-9);
  CAF_CHECK_EQUAL(entropy_after(1'000), 0.0);
}
