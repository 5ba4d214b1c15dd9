#define CAF_SUITE silo_dsn

#include "sql/silo_dsn.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <caf/test/dsl.hpp>

using namespace kgents::sql;

namespace {

struct fixture {
  std::filesystem::path directory;

  fixture() {
    auto name = (std::filesystem::temp_directory_path() / "silo_dsn.XXXXXX").string();
    CAF_REQUIRE(::mkdtemp(name.data()) != nullptr);
    directory = name;
    std::filesystem::create_directory(directory / "kgents-silo-a");
    std::ofstream{directory / "kgents-silo-a" / "DATABASE_URL"} << "postgresql://kg_app@a/x\n";
  }
  ~fixture() { std::filesystem::remove_all(directory); }

  [[nodiscard]] std::string url(std::string_view ref, std::string_view name) const {
    const auto found =
        silo_url({directory}, ref, name, "postgresql://kg_app:it's@here:5433/kgents", "kg_t_1");
    const auto* no = std::get_if<no_dsn>(&found);
    return no != nullptr ? "no: " + no->message : std::get<std::string>(found);
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(silo_dsn_tests, fixture)

CAF_TEST(a_secret_is_a_directory_with_a_file_for_each_url) {
  CAF_CHECK_EQUAL(url("kgents-silo-a", "DATABASE_URL"), "postgresql://kg_app@a/x");
  CAF_CHECK_EQUAL(url("kgents-silo-a", "DATABASE_ADMIN_URL"),
                  "no: the secret kgents-silo-a has no DATABASE_ADMIN_URL");
}

CAF_TEST(without_a_secret_it_is_a_database_of_the_shared_server) {
  const auto found = url("kgents-silo-b", "DATABASE_URL");
  CAF_CHECK_EQUAL(found,
                  "user='kg_app' password='it\\'s' host='here' port='5433' connect_timeout='3' "
                  "dbname='kg_t_1'");
  CAF_CHECK_EQUAL(database_of(found), "kg_t_1");
}

CAF_TEST(what_cannot_be_parsed_is_not_repeated) {
  const auto found = with_database("postgresql://kg_app:secret@[broken/x", "y");
  CAF_REQUIRE(std::holds_alternative<no_dsn>(found));
  CAF_CHECK(std::get<no_dsn>(found).message.find("secret") == std::string::npos);
}

CAF_TEST_FIXTURE_SCOPE_END()
