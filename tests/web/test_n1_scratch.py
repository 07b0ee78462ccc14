from idp_bridge import flow_pruning, db, sign_in_flows, ids, clock
from idp_bridge.models import SignInFlow
from peewee import SqliteDatabase
from tests.web.connections import *
import time
from datetime import timedelta
def test_plan(okta, app):
    with db.connection():
        m=clock.now()
        with db.transaction():
            for s in range(40):
                SignInFlow.insert_many([dict(identity_provider=okta.row.id, id=ids.new("flow"), kind="sp_initiated", started_at=m, site="a" if s<30 else "b", expires_at=m+timedelta(minutes=15), answered_at=m if s%2 else None, finished_at=m if s%2 else None) for _ in range(500)]).execute()
        if isinstance(db.database.obj, SqliteDatabase):
            x="EXPLAIN QUERY PLAN "
        else:
            x="EXPLAIN ANALYZE "
            db.database.execute_sql("ANALYZE sign_in_flow")
        for q in (flow_pruning._of_site(okta.row.id,"a").offset(5000).limit(10), flow_pruning._of(okta.row.id).where(~flow_pruning.unanswered()).order_by(SignInFlow.id.desc()).offset(100),
            SignInFlow.select().where(sign_in_flows._pending(okta.row, sign_in_flows.new_request_id(ids.new("flow")))),
            flow_pruning._of(okta.row.id).where(flow_pruning.unanswered()).order_by(SignInFlow.id.desc()).offset(3000).limit(10)):
            sql, p = q.sql()
            t=time.perf_counter(); 
            for r in db.database.execute_sql(x+sql, p).fetchall(): print(r)
            print("--")
        t=time.perf_counter(); flow_pruning._of_site(okta.row.id,"a").offset(5000).limit(10).execute(); list(flow_pruning._of_site(okta.row.id,"a").offset(5000).limit(10)); print("of_site", time.perf_counter()-t)
