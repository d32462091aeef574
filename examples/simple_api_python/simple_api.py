"""Answers `GET /` with a greeting that names the place in DEV_LOCATION."""
import os

import fastapi
import uvicorn

app = fastapi.FastAPI(title="simple_api")
location = os.environ.get("DEV_LOCATION", "The Underworld!")


@app.get("/")
async def greet() -> dict[str, str]:
    return {"Message": f"Hello, World! From {location}"}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
