#define CAF_SUITE connection

#include "gateway/program/kg/connection.hpp"

#include <caf/test/dsl.hpp>

using kgents::kg::is_local;

CAF_TEST(the host decides whether a server is this machine) {
  for (const auto* x : {"http://127.0.0.1:8000", "http://127.9.8.7", "https://localhost:8443/x",
                        "http://localhost", "http://[::1]:8000"})
    CAF_CHECK(is_local(x));
  for (const auto* x :
       {"http://127.evil.example", "http://127.0.0.1.evil.example:8000",
        "http://localhost.evil.example", "http://evil.example//127.0.0.1",
        "http://evil.example/http://localhost", "http://128.0.0.1", "127.0.0.1", ""})
    CAF_CHECK(!is_local(x));
}
