#define CAF_SUITE prediction

#include "actors/contexts/time/prediction.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::actors;

CAF_TEST(a question is about the path that it names) {
  const std::vector<std::string> seen = {"void.entropy.sip", "world.house.manifest"};
  CAF_CHECK_EQUAL(subject_of("Will world.garden be used?", seen).value_or(""), "world.garden");
  CAF_CHECK_EQUAL(subject_of("How much will void.entropy.", seen).value_or(""), "void.entropy");
  CAF_CHECK_EQUAL(subject_of("Is the House going to be sold?", seen).value_or(""),
                  "world.house.manifest");
  CAF_CHECK_EQUAL(subject_of("Will entropy or the house win?", seen).value_or(""),
                  "void.entropy.sip");
  CAF_CHECK(!subject_of("Will it rain?", seen));
  CAF_CHECK(!subject_of("housework e.g. 3.14", seen));
  CAF_CHECK(!subject_of("", {}));
}

CAF_TEST(an answer of a model is read line by line) {
  const auto x = parse_prediction("Sure.\n PREDICTION: it rains \nCONFIDENCE: 0.7\nREASONING: clouds");
  CAF_REQUIRE(x);
  CAF_CHECK_EQUAL(x->text, "it rains");
  CAF_CHECK_EQUAL(x->confidence, 0.7);
  CAF_CHECK_EQUAL(x->reasoning, "clouds");
  CAF_CHECK_EQUAL(parse_prediction("PREDICTION: a\nCONFIDENCE: 7")->confidence, 1.0);
}

CAF_TEST(an answer in no form is none) {
  CAF_CHECK(!parse_prediction(""));
  CAF_CHECK(!parse_prediction("it rains"));
  CAF_CHECK(!parse_prediction("PREDICTION: a\nCONFIDENCE: high"));
  CAF_CHECK(!parse_prediction("PREDICTION:\nCONFIDENCE: 1"));
  CAF_CHECK(!parse_prediction("PREDICTION: a\nCONFIDENCE: nan"));
}
