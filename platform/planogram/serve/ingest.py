"""`POST /ingest/products`: changes of the catalogue, seen by the next search."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from planogram.serve.backend import Backend
from planogram.serve.call import Call
from planogram.serve.schemas import MAX_CANDIDATES, Name, Price, Request

Text = Annotated[str, Field(max_length=20_000)]


class Product(Request):
    """A product as the table `products` has it. What is left out is not known: it replaces what was known before."""

    product_id: Name
    title: Annotated[str, Field(min_length=1, max_length=2_000)]
    description: Text | None = None
    brand: Name | None = None
    category: Name | None = None
    attributes: dict[Name, Text] | None = Field(None, max_length=100)
    price: Price | None = Field(None, description="in the shop's currency")
    list_price: Price | None = None
    cost: Price | None = Field(None, description="never shown")
    stock: int | None = Field(None, ge=0)
    currency: Name | None = None
    locale: Name | None = None


class IngestRequest(Request):
    """Body of `POST /ingest/products`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "upsert": [{"product_id": "p-17", "title": "Red running shoes", "price": 79.9, "stock": 12}],
                    "delete": ["p-18"],
                }
            ]
        }
    )

    upsert: list[Product] = Field(
        [], max_length=MAX_CANDIDATES, description="new products, and new states of known ones"
    )
    delete: list[Name] = Field([], max_length=MAX_CANDIDATES, description="ids; unknown ones are passed over")

    @model_validator(mode="after")
    def _each_product_once(self) -> "IngestRequest":
        ids = [*(product.product_id for product in self.upsert), *self.delete]
        if not ids:
            raise ValueError("nothing to change: give upsert or delete")
        if len(set(ids)) < len(ids):
            raise ValueError("a product is named twice")
        return self


class IngestResponse(BaseModel):
    """Body of the answer to `POST /ingest/products`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "request_id": "b7e0c6f0b7d94b0f9a4c0f9c6f5a7b31",
                    "took_ms": 12.5,
                    "upserted": 1,
                    "deleted": 1,
                    "catalogue": "3d1f0a9b52cf4d1f.live/7",
                }
            ]
        }
    )

    request_id: str
    took_ms: float
    upserted: int
    deleted: int = Field(description="ids that were asked to go")
    catalogue: str = Field(description="version of the catalogue that has the changes")


async def ingest(request: IngestRequest, backend: Backend, call: Call) -> IngestResponse:
    """Change the catalogue.

    Raises:
        OverloadedError, FailedError: the retriever did not answer; the changes may be sent again.
    """
    products = [row_of(product) for product in request.upsert]
    catalogue = await backend.change(products, request.delete)
    return IngestResponse(
        request_id=call.request_id,
        took_ms=call.took_ms,
        upserted=len(products),
        deleted=len(request.delete),
        catalogue=catalogue,
    )


def row_of(product: Product) -> dict[str, Any]:
    """Columns of the products table; a map is a list of pairs there."""
    attributes = None if product.attributes is None else list(product.attributes.items())
    return {**product.model_dump(), "attributes": attributes}
