//! A statement with its arguments, which can be run more than once.

use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::{Arguments as _, Encode, Execute as _, Postgres, QueryBuilder, SqlSafeStr, SqlStr, Type};

/// A statement, prepared at its first use on each connection.
pub(crate) struct Statement {
    sql: SqlStr,
    arguments: Result<PgArguments, BoxDynError>,
}

impl Statement {
    pub(crate) fn new(sql: impl SqlSafeStr) -> Self {
        Self { sql: sql.into_sql_str(), arguments: Ok(PgArguments::default()) }
    }

    /// One that was put together from parts.
    pub(crate) fn built(mut builder: QueryBuilder<Postgres>) -> Self {
        let mut query = builder.build();
        let arguments = query.take_arguments().map(Option::unwrap_or_default);
        Self { sql: query.sql(), arguments }
    }

    /// Gives the next argument its value.
    pub(crate) fn bind<'v, T: Encode<'v, Postgres> + Type<Postgres>>(mut self, value: T) -> Self {
        if let Ok(arguments) = &mut self.arguments
            && let Err(error) = arguments.add(value)
        {
            self.arguments = Err(error);
        }
        self
    }

    /// Runs it to its end, the commit included, whose failure comes after the rows.
    pub(crate) async fn run(&self, connection: &mut PgConnection) -> Result<Vec<PgRow>, sqlx::Error> {
        let arguments = match &self.arguments {
            Ok(arguments) => arguments.clone(),
            Err(error) => return Err(sqlx::Error::Encode(error.to_string().into())),
        };
        sqlx::query_with(self.sql.clone(), arguments).fetch_all(connection).await
    }
}
