"""Matrix factorization: users and items as vectors that each rating moves."""
