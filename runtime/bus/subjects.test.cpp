#define CAF_SUITE subjects

#include "runtime/bus/subjects.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::runtime::bus;

namespace {

constexpr std::string_view id = "0b1e8c1e-6a51-4d1e-9a57-3f7d6b0f2a11";

}  // namespace

CAF_TEST(a sessions events have its id in their subject) {
  CAF_CHECK(session_subject(id, "chunk") ==
            "kgent.session.0b1e8c1e-6a51-4d1e-9a57-3f7d6b0f2a11.chunk");
}

CAF_TEST(an id that would reach other sessions is refused) {
  for (std::string_view bad : {"", "*", ">", "a.b", "a b", "a\tb", "a\n", "abc>", "a*c", "\x7f"})
    CAF_CHECK(!session_subject(bad, "chunk"));
  CAF_CHECK(!session_subject(std::string_view{"a\0b", 3}, "chunk"));
  CAF_CHECK(!session_subject(std::string(256, 'a'), "chunk"));
  CAF_CHECK(!session_subject(id, "chunk.>"));
}

CAF_TEST(an invocations subject is its path) {
  CAF_CHECK(agentese_subject("void.entropy", "sip") == "agentese.void.entropy.sip");
  CAF_CHECK(!agentese_subject("void.", "sip"));
  CAF_CHECK(!agentese_subject("void.entropy", "*"));
  CAF_CHECK(!agentese_subject("void.entropy", ""));
}

CAF_TEST(a subject is tokens divided by single dots) {
  for (std::string_view good : {"a", "a.b", "events.messages.insert", "billing.usage.llm-tokens"})
    CAF_CHECK(is_subject(good));
  for (std::string_view bad : {"", ".", "a.", ".a", "a..b", "a.*", "a.>", "a b"})
    CAF_CHECK(!is_subject(bad));
}
